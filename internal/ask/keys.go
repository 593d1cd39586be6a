package ask

import (
	"os"
	"regexp"
)

// keys is a terminal's input without the key sequences that survey does not
// know: it would end with an error on Alt and a letter, and take the rest of
// Ctrl and an arrow for text.
type keys struct{ *os.File }

// known are the sequences that survey takes, unknown all others that start with
// an escape. A lone escape is a key of its own.
var (
	sequence = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[@-~]|[^\[O\x1b])`)
	known    = regexp.MustCompile(`^\x1b(?:[\[O][ABCDFH]|\[3~|\[[0-9]+;[0-9]+R)$`)
)

// Read reads what was typed. It returns 0 bytes only with an error: after a
// sequence that is left out it waits for the next key.
func (k keys) Read(p []byte) (int, error) {
	for {
		n, err := k.File.Read(p)
		typed := sequence.ReplaceAllFunc(p[:n], func(s []byte) []byte {
			if known.Match(s) {
				return s
			}
			return nil
		})
		if len(typed) > 0 || err != nil {
			return copy(p, typed), err
		}
	}
}
