// Package browsertest drives a headless Chromium through a test, by the DevTools
// protocol over a pair of pipes (https://chromedevtools.github.io/devtools-protocol/).
//
// It knows no page, and needs nothing but the browser itself.
package browsertest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"example.com/orders/internal/enginetest"
)

// patience is how long the browser may take for one answer, and a condition to
// become true.
const patience = 30 * time.Second

// A Page is one tab of a browser of the test's own. It belongs to the test's
// goroutine.
type Page struct {
	t       testing.TB
	to      *os.File
	from    *os.File
	answers *bufio.Reader
	session string
	lastID  int
}

// Open starts a browser with an empty profile and opens url in it. The browser
// ends with the test. TEST_CHROMIUM says where Chromium or Chrome is; a test
// without it is skipped, as [enginetest.Env] says.
func Open(t testing.TB, url string) *Page {
	t.Helper()
	p := start(t, enginetest.Env(t, "TEST_CHROMIUM", "the Chromium binary"))
	var target struct {
		TargetID string `json:"targetId"`
	}
	p.must("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct {
		SessionID string `json:"sessionId"`
	}
	p.must("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	p.session = session.SessionID
	p.Navigate(url)
	return p
}

func start(t testing.TB, binary string) *Page {
	t.Helper()
	//nolint:gosec,noctx // the binary is the one that whoever runs the test named, and the cleanup ends it
	cmd := exec.Command(binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	commands, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, events, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{commands, events} // Chromium reads from 3 and writes to 4
	if err := cmd.Start(); err != nil {
		t.Fatalf("TEST_CHROMIUM: %v", err)
	}
	_ = commands.Close() // these two are the browser's own now
	_ = events.Close()
	p := &Page{t: t, to: to, from: from, answers: bufio.NewReader(from)}
	t.Cleanup(func() {
		p.session = ""
		if err := p.call("Browser.close", nil, nil); err != nil {
			_ = cmd.Process.Kill() // it may have gone by itself
		}
		_ = to.Close()
		_ = from.Close()
		// Told to close, it ends its own processes first, and with them the
		// writes to the profile.
		hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how a browser exits is not what is tested
		hung.Stop()
	})
	return p
}

// Navigate opens url in the page and waits until it is loaded.
func (p *Page) Navigate(url string) {
	p.t.Helper()
	var answer struct {
		ErrorText string `json:"errorText"`
	}
	p.must("Page.navigate", map[string]any{"url": url}, &answer)
	if answer.ErrorText != "" {
		p.t.Fatalf("%s: %s", url, answer.ErrorText)
	}
	p.WaitFor(`document.readyState === "complete"`)
}

// Eval evaluates the JavaScript expression in the page, waits for it where it
// is a promise, and stores its value into v, as JSON does. A nil v drops it.
func (p *Page) Eval(expression string, v any) {
	p.t.Helper()
	if err := p.eval(expression, v); err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
}

// WaitFor waits until the JavaScript expression is true in the page.
func (p *Page) WaitFor(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var ok bool
		err := p.eval("Boolean("+expression+")", &ok) // fails while a page is being replaced by another
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			var text string
			_ = p.eval("document.body.innerText", &text)
			p.t.Fatalf("still not so after %s: %s (%v); the page says:\n%s", patience, expression, err, text)
		}
		select {
		case <-p.t.Context().Done():
			p.t.Fatal(p.t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// SetFile chooses the file at path in the file input that the CSS selector
// finds, as a person would.
func (p *Page) SetFile(selector, path string) {
	p.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.t.Fatal(err)
	}
	var found evaluated
	p.must("Runtime.evaluate", map[string]any{"expression": "document.querySelector(" + string(quoted) + ")"}, &found)
	if found.Result.ObjectID == "" {
		p.t.Fatalf("there is no %s in the page", selector)
	}
	p.must("DOM.setFileInputFiles", map[string]any{"files": []string{path}, "objectId": found.Result.ObjectID}, nil)
}

type evaluated struct {
	Result struct {
		ObjectID string          `json:"objectId"`
		Value    json.RawMessage `json:"value"`
	} `json:"result"`
	Exception *struct {
		Text      string `json:"text"`
		Exception struct {
			Description string `json:"description"`
		} `json:"exception"`
	} `json:"exceptionDetails"`
}

func (p *Page) eval(expression string, v any) error {
	var answer evaluated
	err := p.call("Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &answer)
	switch {
	case err != nil:
		return err
	case answer.Exception != nil:
		return fmt.Errorf("%s %s", answer.Exception.Text, answer.Exception.Exception.Description)
	case v == nil:
		return nil
	case answer.Result.Value == nil:
		return errors.New("the value is undefined")
	}
	return json.Unmarshal(answer.Result.Value, v)
}

func (p *Page) must(method string, params, result any) {
	p.t.Helper()
	if err := p.call(method, params, result); err != nil {
		p.t.Fatal(err)
	}
}

// call sends a command and reads up to its answer. The events between are
// dropped: tests ask the page instead.
func (p *Page) call(method string, params, result any) error {
	p.lastID++
	command := map[string]any{"id": p.lastID, "method": method}
	if params != nil {
		command["params"] = params
	}
	if p.session != "" {
		command["sessionId"] = p.session
	}
	message, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := errors.Join(p.to.SetWriteDeadline(time.Now().Add(patience)), p.from.SetReadDeadline(time.Now().Add(patience))); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if _, err := p.to.Write(append(message, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		message, err := p.answers.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := json.Unmarshal(message[:len(message)-1], &answer); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case answer.ID != p.lastID:
			continue
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(answer.Result, result)
	}
}
