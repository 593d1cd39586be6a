package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Load reads a catalog: catalog.yaml, patterns/*.yaml and service/. It fails on
// anything that it doesn't know and on anything that doesn't fit together.
func Load(fsys fs.FS) (*Catalog, error) {
	var index struct {
		Families []Family  `yaml:"families"`
		Options  []*Option `yaml:"options"`
	}
	if err := decode(fsys, "catalog.yaml", &index); err != nil {
		return nil, err
	}
	c := &Catalog{Families: index.Families, Options: index.Options, byName: make(map[string]*Pattern)}
	if err := c.loadPatterns(fsys); err != nil {
		return nil, err
	}
	if err := c.checkOptions(); err != nil {
		return nil, err
	}
	if err := c.loadFiles(fsys); err != nil {
		return nil, err
	}
	return c, nil
}

// decode reads a YAML file strictly. The library's errors name the line.
func decode(fsys fs.FS, name string, v any) error {
	if err := unlinked(fsys, name); err != nil {
		return err
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %s", name, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n ", ""))
	}
	return nil
}

// unlinked reports a link where a file or a directory of the pack should be: it
// could lead out of the pack.
func unlinked(fsys fs.FS, name string) error {
	info, err := fs.Lstat(fsys, name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%s: is no regular file (%s)", name, info.Mode().Type())
	}
	return err
}

func (c *Catalog) loadPatterns(fsys fs.FS) error {
	if err := unlinked(fsys, "patterns"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listed := 0
	for _, family := range c.Families {
		for _, name := range family.Patterns {
			listed++
			file := path.Join("patterns", name+".yaml")
			p := new(Pattern)
			if err := decode(fsys, file, p); err != nil {
				return err
			}
			if err := c.checkPattern(p, name, family.Name); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			c.byName[name] = p
			c.Patterns = append(c.Patterns, p)
		}
	}
	manifests, err := fs.Glob(fsys, "patterns/*")
	if err != nil {
		return err
	}
	if len(manifests) != listed {
		for _, m := range manifests {
			if c.byName[strings.TrimSuffix(path.Base(m), ".yaml")] == nil {
				return fmt.Errorf("%s: not listed in catalog.yaml", m)
			}
		}
	}
	for _, p := range c.Patterns {
		for _, other := range slices.Concat(p.Conflicts, p.Suggests) {
			if c.byName[other] == nil {
				return fmt.Errorf("patterns/%s.yaml: names %s, which is no pattern", p.Name, other)
			}
		}
	}
	return nil
}

func (c *Catalog) checkPattern(p *Pattern, name, family string) error {
	switch {
	case p.Name != name:
		return fmt.Errorf("name: %q, listed as %q", p.Name, name)
	case c.byName[name] != nil:
		return errors.New("listed twice")
	case p.Family != family:
		return fmt.Errorf("family: %q, listed under %q", p.Family, family)
	case p.Title == "" || p.Summary == "" || p.Guidance.Use == "" || p.Guidance.Avoid == "" || p.Guidance.Start == "" || p.Guidance.Next == "":
		return errors.New("title, summary and all four lines of guidance must be given")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return fmt.Errorf("name: %q: use one word of a-z and 0-9, as Go packages do", name)
	}
	for _, r := range p.Requires {
		if c.byName[r] == nil {
			return fmt.Errorf("requires %s, which catalog.yaml does not list before it", r)
		}
	}
	for _, j := range p.Joins {
		if len(j.With) == 0 || len(j.Routes) == 0 {
			return errors.New("joins: with and routes must be given")
		}
		for _, with := range j.With {
			if c.byName[with] == nil {
				return fmt.Errorf("joins %s, which catalog.yaml does not list before it", with)
			}
		}
	}
	return nil
}

func (c *Catalog) checkOptions() error {
	owner := make(map[string]string)
	for _, o := range c.Options {
		if c.byName[o.Pattern] == nil {
			return fmt.Errorf("catalog.yaml: option %s: no pattern %q", o.Name, o.Pattern)
		}
		if !slices.Contains(o.ValueNames(), o.Default) {
			return fmt.Errorf("catalog.yaml: option %s: the default %q is none of its values", o.Name, o.Default)
		}
		if len(o.Set.ByHand) == 0 || len(o.Set.ByItself) == 0 {
			return fmt.Errorf("catalog.yaml: option %s: set: say what is to be done by hand and what is not", o.Name)
		}
		for _, v := range o.Values {
			if other, ok := owner[v.Name]; ok {
				return fmt.Errorf("catalog.yaml: %s is a value of both %s and %s", v.Name, other, o.Name)
			}
			owner[v.Name] = o.Name
		}
	}
	return nil
}

// loadFiles reads the template service, and tells by each file's name whose it
// is. What stands beside a file that is named the same with .tmpl is that
// template's rendering for everything, there to be compiled in place.
func (c *Catalog) loadFiles(fsys fs.FS) error {
	standing := make(map[string]string)
	if err := unlinked(fsys, "service"); err != nil {
		return err
	}
	err := fs.WalkDir(fsys, "service", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// A file system that is not the operating system's can hold any name, and
		// would be walked anywhere by it.
		if err := tree.CheckPath(d.Name()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if strings.Contains(d.Name(), "/") {
			return fmt.Errorf("%s: %q is no name of a file", name, d.Name())
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: is no regular file (%s)", name, d.Type())
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f := c.own(strings.TrimPrefix(name, "service/"))
		if err := tree.CheckPath(f.Path); err != nil {
			return err
		}
		f.File = tree.File{Data: data, Exec: bytes.HasPrefix(data, []byte("#!"))}
		folded := strings.ToLower(f.Path)
		if other, ok := standing[folded]; ok {
			return fmt.Errorf("%s: has two owners: %s differs in case only", f.Path, other)
		}
		standing[folded] = f.Path
		c.Files = append(c.Files, f)
		return nil
	})
	c.Files = slices.DeleteFunc(c.Files, func(f File) bool {
		_, ok := standing[strings.ToLower(f.Path)+".tmpl"]
		return ok
	})
	return err
}

// own tells whose file this is: that of every pattern whose name is one of the
// path's folders or one of the words, parted by _, of the file's stem; and that
// of the option value that is such a word.
func (c *Catalog) own(name string) File {
	f := File{Path: name}
	dir, base := path.Split(name)
	words := strings.Split(strings.Trim(dir, "/"), "/")
	stem, _, _ := strings.Cut(base, ".")
	words = append(words, strings.Split(stem, "_")...)
	for _, w := range words {
		if c.byName[w] != nil && !slices.Contains(f.Patterns, w) {
			f.Patterns = append(f.Patterns, w)
		}
		if path.Ext(base) == ".go" {
			continue
		}
		for _, o := range c.Options {
			if slices.Contains(o.ValueNames(), w) {
				f.Option, f.Value = o.Name, w
			}
		}
	}
	return f
}
