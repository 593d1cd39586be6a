package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"example.com/orders/internal/browsertest"
)

func TestPage(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if _, err := fmt.Fprintf(w, `<title>%s</title><input type="file" id="f"><script>
			setTimeout(() => { window.later = true }, 100)
		</script>`, r.URL.Path); err != nil {
			t.Errorf("write the page: %v", err)
		}
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "hello.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}

	p := browsertest.Open(t, srv.URL+"/one")
	p.WaitFor("window.later")
	p.SetFile("#f", file)
	var got struct {
		Title, Text string
	}
	p.Eval(`document.getElementById("f").files[0].text().then(text => ({title: document.title, text}))`, &got)
	if got.Title != "/one" || got.Text != "hello" {
		t.Errorf("the page says %+v", got)
	}
	p.Navigate(srv.URL + "/two")
	var title string
	if p.Eval("document.title", &title); title != "/two" {
		t.Errorf("the title is %q after moving on", title)
	}
}
