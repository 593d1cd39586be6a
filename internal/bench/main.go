// Command bench measures whole processes of scaffold: it builds the command and
// runs it again and again, in folders of its own, with no network.
//
// For each command it prints the median and the 95th percentile of the wall
// clock, the processor time, and scaffold's own part: the median less that of
// `scaffold version`, which starts a process and does nothing, and less that of
// `git init` where scaffold calls it. What runs again and
// again in a service's life is also measured in a repository of many other files,
// with how many times as long it takes there. The last row is
// what the disk takes: this process writes the files of a service with all
// patterns, and does nothing else.
//
// The folders are removed at the end: some file systems, ext4 for one, pass over
// what was deleted in the last seconds one by one when they look for a free
// inode, and a user does not delete a service before each command. (There it
// lasts five minutes: RECENTCY_DIRTY in the kernel's fs/ext4/ialloc.c.)
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	runs := flag.Int("runs", 40, "how often each command is run")
	with := flag.String("with", "", "patterns, comma-separated, instead of all; no other may require the last one")
	check := flag.Bool("check", false, "exit with 1 where a median is above its limit")
	flag.Parse()
	ok, err := bench(ctx, *runs, *with)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	if *check && !ok {
		os.Exit(1)
	}
}

// The limits of a median, and of its part above that of an empty process.
const (
	limit    = 60 * time.Millisecond
	ownLimit = 30 * time.Millisecond
	// lifeLimit is the limit of a median for what runs again and again in a service
	// with all patterns.
	lifeLimit = 150 * time.Millisecond
)

// In a repository of so many other files a command may take this many times as
// long as in the service alone.
const (
	otherFiles = 10_000
	crowded    = 1.2
)

// A command is one row of the figures.
type command struct {
	name string
	// prepare makes the folder in which it runs what it has to be.
	prepare func(dir string) error
	args    []string
	// life says that the limit is lifeLimit, and no other.
	life bool
	// alone is the same command in the service alone, for one in a repository of
	// many other files.
	alone *command
	// program is another program, of which a row's own part is not.
	program string
	calls   *command

	wall, cpu []time.Duration
}

type bencher struct {
	ctx     context.Context
	program string
	dir     string
}

func bench(ctx context.Context, runs int, with string) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "scaffold-bench-*")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := bencher{ctx: ctx, program: filepath.Join(dir, "scaffold"), dir: dir}
	if err := b.build(); err != nil {
		return false, err
	}
	all, last, err := b.patterns()
	if err != nil {
		return false, err
	}
	if with != "" {
		all = strings.Split(with, ",")
		last = all[len(all)-1]
	}
	commands := b.commands(all, last)
	// One round after another, so that a slow moment of the machine meets all.
	for round := range runs + 1 {
		for _, c := range commands {
			wall, cpu, err := b.run(c)
			if err != nil {
				return false, fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 { // the first one fills the caches
				c.wall, c.cpu = append(c.wall, wall), append(c.cpu, cpu)
			}
		}
	}
	files, err := b.filesOf(all)
	if err != nil {
		return false, err
	}
	disk := &command{name: "the disk: its files, just written"}
	for range runs {
		wall, err := b.write(files)
		if err != nil {
			return false, err
		}
		disk.wall, disk.cpu = append(disk.wall, wall), append(disk.cpu, 0)
	}
	fmt.Printf("%d patterns (%s), %d runs each\n\n", len(all), strings.Join(all, ", "), runs)
	return print(commands, disk), nil
}

func (b *bencher) build() error {
	cmd := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", b.program, "github.com/seed-d146d9dc/scaffold/cmd/scaffold") // #nosec G204 -- its own program
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// patterns returns all patterns, and one that no other requires: the last.
func (b *bencher) patterns() (all []string, last string, err error) {
	out, err := exec.CommandContext(b.ctx, b.program, "list", "--json", "--dir", b.dir).Output() // #nosec G204 -- its own program
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Families []struct{ Patterns []struct{ Name string } }
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, "", err
	}
	for _, f := range list.Families {
		for _, p := range f.Patterns {
			all = append(all, p.Name)
		}
	}
	return all, all[len(all)-1], nil
}

func (b *bencher) commands(all []string, last string) []*command {
	with := func(names []string) func(string) error {
		return func(dir string) error {
			return b.scaffold(dir, "new", "service", "--dir", ".", "--no-git", "--with", strings.Join(names, ","))
		}
	}
	others := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == last })
	nothing := func(string) error { return nil }
	git := &command{name: "git init (git's own process)", prepare: nothing, program: "git", args: []string{"init", "--quiet"}}
	commands := []*command{
		{name: "version (an empty process)", prepare: nothing, args: []string{"version"}},
		git,
		{name: "new, all patterns", prepare: nothing, args: []string{"new", "service", "--no-git", "--with", strings.Join(all, ",")}},
		{name: "new, all patterns, git init", prepare: nothing, args: []string{"new", "service", "--with", strings.Join(all, ",")}, calls: git},
		{name: "new, no pattern", prepare: nothing, args: []string{"new", "service", "--no-git", "--with", "none"}},
		{name: "add " + last + " to all others", prepare: with(others), args: []string{"add", last}},
		{name: "add all patterns to none", prepare: with([]string{"none"}), args: append([]string{"add"}, all...)},
		{name: "add what is there", prepare: with(all), args: []string{"add", last}},
	}
	for _, c := range []*command{
		{name: "add " + last, prepare: with(others), args: []string{"add", last}},
		{name: "check", prepare: with(all), args: []string{"check"}},
		{name: "diff", prepare: with(all), args: []string{"diff"}},
	} {
		alone := &command{name: c.name + ", every pattern", prepare: c.prepare, args: c.args, life: true}
		among := &command{name: c.name + ", among 10,000 files", args: c.args, life: true, alone: alone}
		among.prepare = func(dir string) error {
			if err := c.prepare(dir); err != nil {
				return err
			}
			return crowd(dir)
		}
		commands = append(commands, alone, among)
	}
	return commands
}

// crowd writes files of an owner's into dir, in folders beside those of a service
// and in those that it has, too.
func crowd(dir string) error {
	for i := range otherFiles {
		name := filepath.Join(dir, []string{"internal", "docs", "web", "legacy"}[i%4], fmt.Sprintf("own%d", i/100), fmt.Sprintf("file%d.go", i))
		if i%100 < 4 {
			if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
				return err
			}
		}
		if err := os.WriteFile(name, []byte("package own\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (b *bencher) scaffold(dir string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, b.program, args...) // #nosec G204 -- its own program
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// run runs the command once, in a new folder.
func (b *bencher) run(c *command) (wall, cpu time.Duration, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-*")
	if err != nil {
		return 0, 0, err
	}
	if err := c.prepare(dir); err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(b.ctx, cmp.Or(c.program, b.program), c.args...) // #nosec G204 -- its own program, or git
	cmd.Dir = dir
	start := time.Now()
	err = cmd.Run()
	wall = time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// filesOf returns the files of a service with the patterns.
func (b *bencher) filesOf(patterns []string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp(b.dir, "files-*")
	if err != nil {
		return nil, err
	}
	if err := b.scaffold(dir, "new", "service", "--dir", ".", "--no-git", "--with", strings.Join(patterns, ",")); err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	root := os.DirFS(dir)
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[name], err = fs.ReadFile(root, name)
		}
		return err
	})
	return files, err
}

// write writes the files into a new folder.
func (b *bencher) write(files map[string][]byte) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "disk-*")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			return 0, err
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// print prints the figures, and reports whether all are within the limits.
func print(commands []*command, disk *command) (ok bool) {
	ok = true
	fmt.Printf("%-34s %9s %9s %9s %9s\n", "command", "p50", "p95", "cpu p50", "own p50")
	empty := percentile(commands[0].wall, 50)
	for _, c := range commands {
		p50 := percentile(c.wall, 50)
		mark := ""
		own := p50 - empty
		if c.calls != nil {
			own -= percentile(c.calls.wall, 50)
		}
		if c.program != "" {
			own = 0
		}
		if c.life && p50 > lifeLimit {
			ok, mark = false, fmt.Sprintf("  over %v", lifeLimit)
		} else if !c.life && (p50 > limit || own > ownLimit) {
			ok, mark = false, fmt.Sprintf("  over %v, of which %v of its own", limit, ownLimit)
		}
		if c.alone != nil {
			times := float64(p50) / float64(percentile(c.alone.wall, 50))
			mark += fmt.Sprintf("  %.2f times alone", times)
			if times > crowded {
				ok, mark = false, mark+fmt.Sprintf(", over %.1f", crowded)
			}
		}
		fmt.Printf("%-34s %9s %9s %9s %9s%s\n", c.name, ms(p50), ms(percentile(c.wall, 95)), ms(percentile(c.cpu, 50)), ms(own), mark)
	}
	alone := percentile(disk.wall, 50)
	fmt.Printf("%-34s %9s %9s\n", disk.name, ms(alone), ms(percentile(disk.wall, 95)))
	if alone > ownLimit {
		fmt.Printf("\nThe disk alone takes %s of a service's files, so these figures are the disk's.\n"+
			"Run this in a folder where nothing was deleted for five minutes, or in memory\n(TMPDIR=/dev/shm).\n", ms(alone))
	}
	return ok
}

// percentile is the nearest rank: the smallest value that p percent of the
// values don't exceed.
func percentile(values []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
