// Package ask puts questions to a person at a terminal.
//
// It only asks: it reads and writes no file, and decides nothing. It is the only
// package that knows how a question is drawn.
package ask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/AlecAivazis/survey/v2"
	"github.com/AlecAivazis/survey/v2/terminal"
	"golang.org/x/term"
)

// ErrInterrupted says that the person pressed Ctrl-C instead of answering.
var ErrInterrupted = errors.New("interrupted")

// A Terminal is where a person is asked. It is for one goroutine.
type Terminal struct {
	in  *keys
	out *os.File
}

// Open returns the terminal that in reads from, and the first of outs that is
// one, or nil if a person can't be asked: input or output is a file or a pipe,
// or the terminal (by the value of TERM, name) can't move its cursor. Questions
// end with [ErrInterrupted] when ctx does.
func Open(ctx context.Context, name string, in io.Reader, outs ...io.Writer) *Terminal {
	input, ok := in.(*os.File)
	if !ok || name == "dumb" || !term.IsTerminal(fd(input)) {
		return nil
	}
	for _, out := range outs {
		if output, ok := out.(*os.File); ok && term.IsTerminal(fd(output)) {
			return &Terminal{in: &keys{terminal: input, done: ctx.Done()}, out: output}
		}
	}
	return nil
}

// Colors reports whether what is printed to out is to be coloured: it is a
// terminal that can, and the person did not say no (NO_COLOR, see no-color.org).
func Colors(out io.Writer, getenv func(string) string) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(fd(f)) && getenv("TERM") != "dumb" && getenv("NO_COLOR") == ""
}

func fd(f *os.File) int { return int(f.Fd()) } // #nosec G115 -- a file descriptor is an int

// size is the terminal's, in cells, or that of a common one if it can't tell.
func (t *Terminal) size() (width, height int) {
	width, height, err := term.GetSize(fd(t.out))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// ask puts one question. The answer is checked before the question is over.
func (t *Terminal) ask(p survey.Prompt, answer any, check func(any) error) error {
	opts := []survey.AskOpt{
		survey.WithStdio(t.in, t.out, t.out),
		survey.WithKeepFilter(true),
		survey.WithShowCursor(true),
	}
	if check != nil {
		opts = append(opts, survey.WithValidator(check))
	}
	err := survey.AskOne(p, answer, opts...)
	switch {
	case errors.Is(err, terminal.InterruptErr), errors.Is(err, ErrInterrupted):
		return ErrInterrupted
	case errors.Is(err, io.EOF):
		return errors.New("the terminal was closed before all was answered; nothing was written")
	case err != nil:
		return fmt.Errorf("asking: %w", err)
	}
	return nil
}

// Text asks for a line of text, proposes one, and asks again while check
// returns an error.
func (t *Terminal) Text(question, proposed, help string, check func(string) error) (string, error) {
	var answer string
	p := &survey.Input{Message: question, Default: proposed, Help: help}
	return answer, t.ask(p, &answer, func(v any) error { return check(v.(string)) })
}

// Confirm asks for a yes or a no; the empty answer is a yes.
func (t *Terminal) Confirm(question string) (bool, error) {
	var answer bool
	err := t.ask(&survey.Confirm{Message: question, Default: true}, &answer, nil)
	return answer, err
}

// A Choice is one of the answers to a question.
type Choice struct {
	// Name is what stands for the choice, for the caller and on the screen.
	Name string
	// Summary says in one line what it means.
	Summary string
}

// One asks for one of the choices; the proposed one is marked first.
func (t *Terminal) One(question, proposed string, choices []Choice) (string, error) {
	width, _ := t.size()
	options := make([]string, len(choices))
	marked := 0
	for i, c := range choices {
		options[i] = cut(c.Name+" – "+c.Summary, width-3)
		if c.Name == proposed {
			marked = i
		}
	}
	p := &survey.Select{
		Message:  question,
		Options:  options,
		Default:  marked,
		PageSize: t.page(question, selectHint, len(options)),
		Filter:   searcher(options),
	}
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = c.Name
	}
	var at int
	if err := t.ask(one{p, names}, &at, nil); err != nil {
		return "", err
	}
	return names[at], nil
}

// lines is how many lines the text takes.
func lines(text string, width int) int { return (len(text) + width - 1) / width }

// page is how many of n options are shown at a time, so that the question and
// the marked option never scroll out of sight.
func (t *Terminal) page(question, hint string, n int) int {
	width, height := t.size()
	return max(1, min(n, height-lines("? "+question+" "+hint, width)-1))
}

// What survey writes behind a question with options, at its longest.
const (
	selectHint = " [Use arrows to move, type to filter]"
	multiHint  = " [Use arrows to move, space to select, <right> to all, <left> to none, type to filter, ? for more help]"
)
