package dlq

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
)

// A Page is a part of the list of letters, the newest first.
type Page struct {
	Letters []Letter `json:"letters"`
	// Next is the cursor of the next page, or "" where there is none.
	Next string `json:"next,omitempty"`
}

// List returns up to limit letters after the cursor, which is a Page's Next or
// "", of one source and kind where these are not empty.
func (q *Queue) List(ctx context.Context, source, kind, cursor string, limit int) (Page, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return Page{}, err
	}
	letters := []Letter{}
	for _, s := range q.sources {
		if source != "" && s.Name() != source {
			continue
		}
		found, err := s.List(ctx, Query{Kind: kind, Limit: limit + 1, After: after.in(s.Name())})
		if err != nil {
			return Page{}, err
		}
		letters = append(letters, found...)
	}
	slices.SortFunc(letters, func(a, b Letter) int {
		return cmp.Or(b.DiedAt.Compare(a.DiedAt), strings.Compare(a.Source, b.Source), cmp.Compare(b.Key, a.Key))
	})
	page := Page{Letters: letters}
	if len(letters) > limit {
		page.Letters = letters[:limit]
		page.Next = cursorOf(page.Letters[limit-1])
	}
	return page, nil
}

// A cursor is a place in the list of all sources, after which a page begins.
type cursor struct {
	Nanos  int64  `json:"t"`
	Source string `json:"s"`
	Key    int64  `json:"k"`
}

var errCursor = errors.New("the cursor is none that a list gave; take the page's 'next' as it is")

func parseCursor(s string) (*cursor, error) {
	if s == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, errCursor
	}
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, errCursor
	}
	return &c, nil
}

func cursorOf(l Letter) string {
	// Strings and numbers always encode.
	text, _ := json.Marshal(cursor{l.DiedAt.UnixNano(), l.Source, l.Key})
	return base64.RawURLEncoding.EncodeToString(text)
}

// in returns where the letters of one source go on. Letters of the same time
// stand in the order of their sources' names.
func (c *cursor) in(source string) *Position {
	if c == nil {
		return nil
	}
	p := &Position{DiedAt: time.Unix(0, c.Nanos).UTC(), Key: c.Key}
	switch strings.Compare(source, c.Source) {
	case -1:
		p.Key = 0 // keys begin at 1: none of that time
	case 1:
		p.Key = math.MaxInt64 // all of that time
	}
	return p
}
