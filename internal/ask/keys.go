package ask

import (
	"io"
	"regexp"
	"unicode/utf8"
)

// keys hands out what is typed at a terminal one key at a time, so that what is
// typed ahead waits for the next question: survey reads all that there is, and
// forgets what it doesn't use. It hands out Ctrl-C for Ctrl-D, and leaves out the key
// sequences that survey takes for an error (Alt and a letter) or for text (Ctrl and an
// arrow). It is for one goroutine.
type keys struct {
	terminal interface {
		io.Reader
		Fd() uintptr
	}
	// done ends the wait for a key: between two questions Ctrl-C is a signal.
	done  <-chan struct{}
	typed []byte
	// still reports, where it is set, that there is nothing to move in or to choose:
	// survey panics at keys that do.
	still func() bool
}

var (
	// sequence is what one key sends that isn't a character. A lone escape is a
	// key, too.
	sequence = regexp.MustCompile(`^\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[@-~]|[^\[O\x1b])`)
	// known are the sequences that survey understands.
	known = regexp.MustCompile(`^\x1b(?:[\[O][ABCDFH]|\[3~)$`)
	// moving are the keys that move in a list, choose of it, or make letters do so.
	moving = regexp.MustCompile(`^(?:\x1b[\[O][AB]|[\t \x1b])$`)
	// position is the terminal's answer to where its cursor is. survey waits for
	// it, and takes no key that comes with it.
	position = regexp.MustCompile(`\x1b\[[0-9]+;[0-9]+R`)
)

// What a terminal sends for the keys that end a command.
const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)

// Fd is the terminal's file descriptor.
func (k *keys) Fd() uintptr { return k.terminal.Fd() }

// Read reads one key, or the terminal's answer if it has come.
func (k *keys) Read(p []byte) (int, error) {
	for {
		if len(k.typed) == 0 {
			var err error
			if k.typed, err = k.wait(); len(k.typed) == 0 {
				return 0, err
			}
		}
		if at := position.FindIndex(k.typed); at != nil {
			n := copy(p, k.typed[at[0]:at[1]])
			k.typed = append(k.typed[:at[0]], k.typed[at[1]:]...)
			return n, nil
		}
		key := sequence.Find(k.typed)
		unknown := key != nil && !known.Match(key)
		if key == nil {
			_, size := utf8.DecodeRune(k.typed)
			key = k.typed[:size]
		}
		n := copy(p, key)
		if string(key) == ctrlD {
			// survey takes it for an answer to some questions.
			n = copy(p, ctrlC)
		}
		stuck := k.still != nil && moving.Match(key) && k.still()
		k.typed = k.typed[len(key):]
		if !unknown && !stuck {
			return n, nil
		}
	}
}

// wait reads what is typed. A read of a terminal can't be ended: when the wait
// is, the read goes on until a key comes or the process ends, which is next.
func (k *keys) wait() ([]byte, error) {
	type chunk struct {
		typed []byte
		err   error
	}
	read := make(chan chunk, 1)
	go func() {
		buf := make([]byte, 256)
		n, err := k.terminal.Read(buf)
		read <- chunk{buf[:n], err}
	}()
	select {
	case c := <-read:
		return c.typed, c.err
	case <-k.done:
		return nil, ErrInterrupted
	}
}
