package orders_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/orders"
	"example.com/orders/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*workers.Pool, *database.Pool) {
	t.Helper()
	db := workerstest.Database(t)
	p := workerstest.New(t, db, workerstest.Config())
	orders.Register(p, db, orders.Config{ReportPause: time.Millisecond})
	workerstest.Start(t, p)
	return p, db
}

func submit(t *testing.T, p *workers.Pool, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jobs", strings.NewReader(body))
	httpapi.Handler(p.Submit).ServeHTTP(w, r)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// invoiceArgs is a job as the example enqueues it.
type invoiceArgs struct {
	Order string `json:"order"`
}

func (invoiceArgs) Kind() string { return "invoice" }

// await waits until the job has completed, and decodes its result.
func await(t *testing.T, p *workers.Pool, id int64, result any) {
	t.Helper()
	waittest.Until(t, func() error {
		job, err := p.Client().JobGet(t.Context(), id)
		if err != nil {
			return err
		}
		if job.State != rivertype.JobStateCompleted {
			return fmt.Errorf("job %d is %s: %v", id, job.State, job.Errors)
		}
		return json.Unmarshal(job.Output(), result)
	})
}

func TestAnInvoiceIsWrittenOnce(t *testing.T) {
	t.Parallel()
	p, db := start(t)
	submit(t, p, `{"kind":"invoice","args":{"order":"A-1","customer":"Ada","lines":[{"item":"tea","quantity":2,"cents":450}]}}`)
	var first, second orders.Invoice
	for _, invoice := range []*orders.Invoice{&first, &second} { // as when the job is killed after its work
		job, err := p.Enqueue(t.Context(), invoiceArgs{"A-1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		await(t, p, job.Job.ID, invoice)
	}
	if first != second || first.TotalCents != 900 || first.Customer != "Ada" {
		t.Errorf("invoices %+v and %+v", first, second)
	}
	got, err := orders.Get(t.Context(), db, "A-1")
	if err != nil || got != first {
		t.Errorf("Get: %+v, %v; want %+v", got, err, first)
	}
	if _, err := orders.Get(context.Background(), db, "A-2"); !errors.Is(err, orders.ErrNoInvoice) {
		t.Errorf("Get: %v, want ErrNoInvoice", err)
	}
}

type reportArgs struct {
	Customer string `json:"customer,omitempty"`
}

func (reportArgs) Kind() string { return "report" }

func TestAReportAddsUpAllPages(t *testing.T) {
	t.Parallel()
	p, _ := start(t)
	const orderCount = 120 // more than a page
	for i := range orderCount {
		customer := "Ada"
		if i%3 == 0 {
			customer = "Ben"
		}
		submit(t, p, fmt.Sprintf(`{"kind":"invoice","args":{"order":"A-%d","customer":%q,"lines":[{"item":"tea","quantity":1,"cents":10}]}}`, i, customer))
	}
	for customer, want := range map[string]orders.Report{
		"":    {Orders: orderCount, TotalCents: 10 * orderCount},
		"Ben": {Orders: orderCount / 3, TotalCents: 10 * orderCount / 3},
		"Cid": {},
	} {
		job, err := p.Enqueue(t.Context(), reportArgs{customer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got orders.Report
		await(t, p, job.Job.ID, &got)
		if got != want {
			t.Errorf("customer %q: %+v, want %+v", customer, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() orders.Order {
		tea := orders.Line{Item: "tea", Quantity: 1, Cents: 0}
		return orders.Order{ID: "A-1", Customer: "Ada", Lines: []orders.Line{tea}}
	}
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*orders.Order){
		"order":             func(o *orders.Order) { o.ID = "" },
		"customer":          func(o *orders.Order) { o.Customer = strings.Repeat("a", 201) },
		"lines":             func(o *orders.Order) { o.Lines = nil },
		"lines[0].item":     func(o *orders.Order) { o.Lines[0].Item = "\x00" },
		"lines[0].quantity": func(o *orders.Order) { o.Lines[0].Quantity = 0 },
		"lines[0].cents":    func(o *orders.Order) { o.Lines[0].Cents = -1 },
	} {
		o := good()
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v, want the field named", field, err)
		}
	}
}
