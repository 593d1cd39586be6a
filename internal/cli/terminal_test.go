//go:build linux || darwin

package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

// Keys as a terminal sends them.
const (
	enter     = "\r"
	space     = " "
	ctrlC     = "\x03"
	ctrlD     = "\x04"
	ctrlW     = "\x17"
	escape    = "\x1b"
	tab       = "\t"
	up        = "\x1b[A"
	down      = "\x1b[B"
	altX      = "\x1bx"
	ctrlRight = "\x1b[1;5C"
)

// patience is how long a test waits for what must come. Nothing waits for it
// to pass.
const patience = 30 * time.Second

// A session is a scaffold process at a terminal of its own.
type session struct {
	t        *testing.T
	cmd      *exec.Cmd
	keys     io.Writer
	terminal *os.File
	screen   vt10x.Terminal
	exited   chan error
}

func startSession(t *testing.T, dir string, columns, rows uint16, args ...string) *session {
	t.Helper()
	s := &session{t: t, exited: make(chan error, 1)}
	s.cmd = exec.CommandContext(t.Context(), "scaffold", args...)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "TERM=xterm", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	end, err := pty.StartWithSize(s.cmd, &pty.Winsize{Cols: columns, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	s.keys, s.terminal = end, end
	s.screen = vt10x.New(vt10x.WithWriter(end), vt10x.WithSize(int(columns), int(rows)))
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		shown := bufio.NewReader(end)
		for s.screen.Parse(shown) == nil { // ends with an error when the process does
			continue
		}
	}()
	go func() {
		err := s.cmd.Wait()
		<-drawn
		s.exited <- err
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = end.Close()
	})
	return s
}

// sees waits until the screen shows what ok wants.
func (s *session) sees(what string, ok func(screen string) bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		screen := s.screen.String()
		if ok(screen) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the screen does not show %s:\n%s", what, screen)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

// shows waits until the screen has the text, lines joined.
func (s *session) shows(text string) {
	s.t.Helper()
	s.sees(text, func(screen string) bool { return strings.Contains(screen, text) })
}

// asks waits for a question, and until keys are taken for it: what is typed
// earlier is echoed by the terminal itself.
func (s *session) asks(question string) {
	s.t.Helper()
	s.sees(question, func(screen string) bool {
		if !strings.Contains(strings.ReplaceAll(screen, "\n", ""), question) {
			return false
		}
		state, err := unix.IoctlGetTermios(int(s.terminal.Fd()), getTermios)
		if err != nil {
			s.t.Fatal(err)
		}
		return state.Lflag&unix.ICANON == 0
	})
}

// marked waits until the line with the cursor has the text.
func (s *session) marked(text string) {
	s.t.Helper()
	s.sees("> "+text, func(screen string) bool {
		for line := range strings.SplitSeq(screen, "\n") {
			if strings.HasPrefix(line, ">") && strings.Contains(line, text) {
				return true
			}
		}
		return false
	})
}

func (s *session) press(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, keys); err != nil {
		s.t.Fatal(err)
	}
}

// types presses the keys of a text, and waits until each can be seen behind the
// question.
func (s *session) types(question, text string) {
	s.t.Helper()
	for i := range text {
		s.press(text[i : i+1])
		s.shows(question + " " + text[:i+1])
	}
}

// exits waits for the end of the process, and wants its code.
func (s *session) exits(code int) {
	s.t.Helper()
	select {
	case err := <-s.exited:
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		} else if err != nil {
			s.t.Fatal(err)
		}
		if got != code {
			s.t.Fatalf("exit code %d, want %d; the screen:\n%s", got, code, s.screen.String())
		}
	case <-time.After(patience):
		s.t.Fatalf("does not end; the screen:\n%s", s.screen.String())
	}
}

func manifestOf(t *testing.T, dir string) record.Manifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, record.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	m, err := record.Parse(record.ManifestFile, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was written", e.Name())
	}
}

// A question is what is on the screen when it is asked, and what answers it.
type question struct{ shows, answer string }

// The questions of new, in order, with an answer to each.
var newQuestions = []question{
	{"Name of the service:", enter},
	{"Path of the Go module:", enter},
	{"Patterns:", "workers" + space + enter},
	{"Database (workers needs one):", enter},
	{"Write it?", enter},
}

func TestNewAsks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startSession(t, dir, 100, 30, "new")
	s.asks("Name of the service:")
	s.shows("(myservice)")
	s.press("My Orders" + enter)
	s.shows(`can't be a service's name`)
	s.shows("as in my-orders")
	s.asks("Name of the service:")
	s.press("orders" + enter)
	s.asks("Path of the Go module:")
	s.shows("(example.com/orders)")
	s.press("acme.com/orders" + enter)

	s.asks("Patterns:")
	s.sees("no pattern that only others stand on", func(screen string) bool {
		return strings.Contains(screen, "realtime · sse") && !strings.Contains(screen, "database –")
	})
	s.types("Patterns:", "browser") // a word of its summary
	s.marked("sse")
	s.press(space)
	s.shows("[x]  realtime · sse")
	s.press(ctrlW)
	s.sees("all lines again", func(screen string) bool { return strings.Contains(screen, "workers –") })
	s.types("Patterns:", "async") // the family's title
	s.sees("that family alone", func(screen string) bool { return !strings.Contains(screen, "sse –") })
	s.press(ctrlW)
	s.types("Patterns:", "workers")
	s.marked("workers")
	s.press(space)
	s.shows("[x]  async · workers")
	s.press(enter)

	s.asks("Database (workers needs one):")
	s.marked("sqlite")
	s.press(down)
	s.marked("postgres")
	s.press(enter)
	s.shows("database (workers requires it)")
	s.shows("options   database=postgres")
	s.asks("Write it? (Y/n)")
	isEmpty(t, dir)
	s.press(enter)
	s.exits(exitDone)
	s.shows("go run ./cmd/orders")

	got := manifestOf(t, filepath.Join(dir, "orders"))
	want := record.Manifest{
		Name: "orders", Module: "acme.com/orders", Patterns: []string{"sse", "workers"},
		Options: map[string]string{"database": "postgres"}, Packs: map[string]string{builtin: version},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scaffold.yaml (-want +got):\n%s", diff)
	}
}

// Flags answer their questions, and no others.
func TestNewAsksTheRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startSession(t, dir, 100, 30, "new", "orders", "--with", "workers", "--set", "database=sqlite")
	s.asks("Path of the Go module:")
	s.press(enter)
	s.asks("Write it?")
	if screen := s.screen.String(); strings.Contains(screen, "Name of") || strings.Contains(screen, "Patterns:") || strings.Contains(screen, "Database") {
		t.Errorf("asks what a flag has said:\n%s", screen)
	}
	s.press("n" + enter)
	s.exits(exitFailed)
	s.shows("nothing was written")
	isEmpty(t, dir)
}

// Ctrl-C and Ctrl-D at any question write nothing.
func TestInterruptedQuestions(t *testing.T) {
	t.Parallel()
	for i, q := range newQuestions {
		for name, key := range map[string]string{"Ctrl-C": ctrlC, "Ctrl-D": ctrlD} {
			t.Run(q.shows+" "+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				s := startSession(t, dir, 100, 30, "new")
				for _, earlier := range newQuestions[:i] {
					s.answer(earlier)
				}
				s.asks(q.shows)
				s.press(key)
				s.exits(exitInterrupted)
				s.shows("interrupted: nothing was written")
				isEmpty(t, dir)
			})
		}
	}
}

// answer waits for the question and answers it, key by key.
func (s *session) answer(q question) {
	s.t.Helper()
	s.asks(q.shows)
	filter, rest, ok := strings.Cut(q.answer, space)
	if !ok {
		s.press(q.answer)
		return
	}
	s.types(q.shows, filter)
	s.press(space)
	s.shows("[x]")
	s.press(rest)
}

// However narrow the window, the question and the marked line stay in sight,
// and nothing is drawn twice.
func TestNarrowWindow(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]uint16{{34, 9}, {48, 12}, {200, 10}} {
		dir := t.TempDir()
		s := startSession(t, dir, size[0], size[1], "new", "orders", "--module", "acme.com/orders")
		s.asks("Patterns:")
		c, err := newApp(os.DirFS("../../templates"), nil, nil, nil, nil).catalog()
		if err != nil {
			t.Fatal(err)
		}
		patterns := offered(c, catalog.Selection{})
		for _, p := range slices.Concat(patterns, patterns) { // round and round
			s.marked(p.Name)
			screen := s.screen.String()
			if n := strings.Count(screen, "Patterns:"); n != 1 {
				t.Fatalf("the question stands there %d times:\n%s", n, screen)
			}
			if n := strings.Count("\n"+screen, "\n>"); n != 1 {
				t.Fatalf("%d lines are marked:\n%s", n, screen)
			}
			s.press(down)
		}
		s.marked(patterns[0].Name)
		s.press(up)
		s.marked(patterns[len(patterns)-1].Name)
		s.press(enter)
		s.asks("Write it?") // the answer above it may have left the window
		s.press(ctrlC)
		s.exits(exitInterrupted)
		isEmpty(t, dir)
	}
}

// Keys that lead nowhere do no harm.
func TestStrangeKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startSession(t, dir, 100, 30, "new", "orders", "--module", "acme.com/orders")
	s.asks("Patterns:")
	s.press(down)
	s.types("Patterns:", "dlqxyzzy") // only its beginning matches something
	s.sees("nothing to choose", func(screen string) bool { return !strings.Contains(screen, "[ ]") })
	for range 3 {
		for _, key := range []string{up, space, down, down, escape, tab, "k", space} {
			s.press(key)
		}
	}
	s.press(ctrlW)
	s.sees("no filter", func(screen string) bool { return !strings.Contains(screen, "xyzzy") })
	s.press("\x1b[D") // left: take none
	s.sees("nothing chosen", func(screen string) bool { return !strings.Contains(screen, "[x]") })
	for _, keys := range []string{escape + down, altX, ctrlRight} {
		s.press(keys)
		s.types("Patterns:", "s")
		s.press(ctrlW)
		s.sees("no filter", func(screen string) bool { return !strings.Contains(screen, "Patterns: s  [") })
	}
	s.press("?")
	s.shows("Take none for a service without patterns")
	s.press(enter)
	s.asks("Write it?")
	s.press(enter)
	s.exits(exitDone)
	if got := manifestOf(t, filepath.Join(dir, "orders")).Patterns; len(got) > 0 {
		t.Errorf("patterns %q, want none", got)
	}
}

// At a terminal each conflict is asked for.
func TestConflictAsks(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (dir string, before map[string]string) {
		t.Helper()
		dir = t.TempDir()
		scaffold(t, dir, "new", "orders", "--with", "none")
		dir = filepath.Join(dir, "orders")
		readme := filepath.Join(dir, "README.md")
		data, err := os.ReadFile(readme)
		if err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(string(data), "A Go service.", "Our dear service.", 1)
		if err := os.WriteFile(readme, []byte(edited), 0o644); err != nil {
			t.Fatal(err)
		}
		before, err = below(dir)
		if err != nil {
			t.Fatal(err)
		}
		return dir, before
	}
	for _, tt := range []struct {
		choice string
		keys   string
		want   []string
		not    string
	}{
		{"mine", "", []string{"Our dear service."}, "<<<<<<<"},
		{"theirs", down, []string{"One pool"}, "Our dear service."},
		{"markers", down + down, []string{"<<<<<<<", "Our dear service.", "One pool"}, ""},
	} {
		t.Run(tt.choice, func(t *testing.T) {
			t.Parallel()
			dir, _ := setup(t)
			s := startSession(t, dir, 120, 40, "add", "database", "--set", "database=sqlite")
			s.asks("README.md: you and its template changed the same lines.")
			for range strings.Count(tt.keys, down) {
				s.press(down)
			}
			s.marked(tt.choice)
			s.press(enter)
			s.asks("Write it?")
			s.press(enter)
			s.exits(exitDone)
			data, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(data), want) {
					t.Errorf("README.md does not have %q", want)
				}
			}
			if tt.not != "" && strings.Contains(string(data), tt.not) {
				t.Errorf("README.md has %q", tt.not)
			}
		})
	}
	t.Run("show, then leave", func(t *testing.T) {
		t.Parallel()
		dir, before := setup(t)
		s := startSession(t, dir, 120, 60, "add", "database", "--set", "database=sqlite")
		s.asks("README.md: you and its template changed the same lines.")
		s.press(up) // to the last
		s.marked(showChoice)
		s.press(enter)
		s.shows("-Our dear service.")
		s.marked("mine")
		s.press(ctrlC)
		s.exits(exitInterrupted)
		after, err := below(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("written (-before +after):\n%s", diff)
		}
	})
}

// add without a name asks for what is not there yet.
func TestAddAsks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scaffold(t, dir, "new", "orders", "--with", "sse")
	dir = filepath.Join(dir, "orders")
	s := startSession(t, dir, 100, 30, "add")
	s.asks("Patterns to add:")
	s.sees("what is not there yet", func(screen string) bool {
		return strings.Contains(screen, "workers –") && !strings.Contains(screen, "sse –")
	})
	s.types("Patterns to add:", "workers")
	s.press(space)
	s.shows("[x]")
	s.press(enter)
	s.asks("Database (workers needs one):")
	s.press(enter)
	s.asks("Write it?")
	s.press(enter)
	s.exits(exitDone)
	if got, want := manifestOf(t, dir).Patterns, []string{"sse", "workers"}; !slices.Equal(got, want) {
		t.Errorf("patterns %q, want %q", got, want)
	}
}

// scaffold runs a command that must succeed, without a terminal.
func scaffold(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "scaffold", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("scaffold %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
