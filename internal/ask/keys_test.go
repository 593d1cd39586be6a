package ask

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

type fakeTerminal struct{ io.Reader }

func (fakeTerminal) Fd() uintptr { return 0 }

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, typed string
		want        []string
	}{
		{"letters", "aé\r", []string{"a", "é", "\r"}},
		{"arrows", "\x1b[A\x1bOBx", []string{"\x1b[A", "\x1bOB", "x"}},
		{"escape", "a\x1b", []string{"a", "\x1b"}},
		{"two escapes", "\x1b\x1b[A", []string{"\x1b", "\x1b[A"}},
		{"delete, page up, F5", "\x1b[3~\x1b[5~\x1b[15~x", []string{"\x1b[3~", "x"}},
		{"alt and a letter", "\x1bxy", []string{"y"}},
		{"ctrl and an arrow", "\x1b[1;5Cy", []string{"y"}},
		{"where the cursor is", "ab\x1b[12;5Rc", []string{"\x1b[12;5R", "a", "b", "c"}},
		{"ctrl and d", "a\x04b", []string{"a", "\x03", "b"}},
		{"broken text", "\xffa", []string{"\xff", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &keys{terminal: fakeTerminal{iotest.DataErrReader(strings.NewReader(tt.typed))}}
			var got []string
			buf := make([]byte, 64)
			for {
				n, err := k.Read(buf)
				if n > 0 {
					got = append(got, string(buf[:n]))
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("keys %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKeysInterrupted(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	close(done)
	blocked, _ := io.Pipe()
	k := &keys{terminal: fakeTerminal{blocked}, done: done}
	if _, err := k.Read(make([]byte, 8)); !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v", err)
	}
}
