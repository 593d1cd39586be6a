// Package websockettest is a client of rooms for tests.
package websockettest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a client waits for a frame: it bounds what a failing test
// takes, no more.
const patience = time.Minute

// A Frame is what the server sends.
type Frame struct {
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	Data    json.RawMessage `json:"data"`
	Reason  string          `json:"reason"`
	RetryMS int64           `json:"retry_ms"`
	Ref     string          `json:"ref"`
	Message string          `json:"message"`
	Status  int             `json:"status"`
	Detail  string          `json:"detail"`
}

// A Socket is one open socket. It belongs to one goroutine, but for Cut.
type Socket struct {
	// Token is what to come back with.
	Token string
	// Welcome is the first frame.
	Welcome Frame

	conn *websocket.Conn
}

// Dial opens the socket at address, an http URL, and reads the welcome. With a
// token it resumes from there. The answer is that of the handshake.
func Dial(address, token string, header http.Header) (*Socket, *http.Response, error) {
	if token != "" {
		address += "?resume=" + url.QueryEscape(token)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		HTTPHeader: header,
	})
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(-1)
	s := &Socket{Token: token, conn: conn}
	if s.Welcome, err = s.Next(); err == nil && s.Welcome.Type != "welcome" {
		err = fmt.Errorf("the first frame is %+v", s.Welcome)
	}
	if err != nil {
		s.Cut()
		return nil, resp, err
	}
	return s, resp, nil
}

// Open is Dial, but that the test fails where it does, and cuts the connection
// at its end.
func Open(t testing.TB, address, token string) *Socket {
	t.Helper()
	s, _, err := Dial(address, token, nil) //nolint:bodyclose // the socket has it
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	t.Cleanup(s.Cut)
	return s
}

// Next returns the next frame. Its error has the code of a socket that was
// closed, see [Code].
func (s *Socket) Next() (Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return Frame{}, err
	}
	var f Frame
	if err := json.Unmarshal(data, &f); err != nil {
		return Frame{}, fmt.Errorf("the frame %q: %w", data, err)
	}
	if f.ID != "" {
		s.Token = f.ID
	}
	return f, nil
}

// Send sends data, with a ref where that is not "".
func (s *Socket) Send(ref string, data any) error {
	wire, err := json.Marshal(map[string]any{"ref": ref, "data": data})
	if err != nil {
		return err
	}
	return s.SendRaw(websocket.MessageText, wire)
}

// SendRaw sends what may be no message at all.
func (s *Socket) SendRaw(kind websocket.MessageType, wire []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.conn.Write(ctx, kind, wire)
}

// Leave closes the socket as a page does that is left.
func (s *Socket) Leave() error {
	return s.conn.Close(websocket.StatusGoingAway, "")
}

// Cut closes the connection with no close handshake.
func (s *Socket) Cut() {
	_ = s.conn.CloseNow() // it may be closed already
}

// Code returns the code that the server closed the socket with, -1 where err
// says of none.
func Code(err error) int {
	return int(websocket.CloseStatus(err))
}
