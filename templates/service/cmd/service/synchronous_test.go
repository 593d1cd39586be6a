package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestSynchronousQuotes(t *testing.T) {
	s := startService(t, nil)
	_, metrics := get(t, s.URL+"/metrics")
	if err := contains(metrics, `synchronous_work_seconds_count{work="quote"} 0`+"\n"); err != nil {
		t.Error(err)
	}
	status, body := get(t, s.URL+"/shipping/quote?zone=europe&grams=5000")
	mustEqual(t, body, status, http.StatusOK)
	mustEqual(t, "quote", strings.TrimSpace(body), `{"zone":"europe","grams":5000,"cents":2199,"days":5}`)
	for query, want := range map[string]int{
		"":                                      http.StatusBadRequest,
		"zone=europe":                           http.StatusBadRequest,
		"zone=europe&grams=0":                   http.StatusBadRequest,
		"zone=europe&grams=-1":                  http.StatusBadRequest,
		"zone=europe&grams=1e3":                 http.StatusBadRequest,
		"zone=europe&grams=9223372036854775808": http.StatusBadRequest,
		"zone=Europe&grams=1":                   http.StatusBadRequest,
		"zone=%27%3B--&grams=1":                 http.StatusBadRequest,
		"zone=europe&grams=10001":               http.StatusNotFound,
		"zone=moon&grams=1":                     http.StatusNotFound,
	} {
		status, body := get(t, s.URL+"/shipping/quote?"+query)
		mustEqual(t, query+": "+body, status, want)
	}
	_, metrics = get(t, s.URL+"/metrics")
	for _, line := range []string{`synchronous_work_total{result="ok",work="quote"} 1`, `synchronous_work_total{result="full",work="quote"} 0`, "synchronous_in_flight 0", "synchronous_limit 64"} {
		if err := contains(metrics, line+"\n"); err != nil {
			t.Error(err)
		}
	}
}

func TestSynchronousBadConfigurationNamesTheVariable(t *testing.T) {
	for name, tt := range map[string]struct{ variable, value, want string }{
		"no place":                         {"SYNCHRONOUS_MAX_CONCURRENT", "0", "SYNCHRONOUS_MAX_CONCURRENT=0: must be from 1 to"},
		"longer than an answer may take":   {"SYNCHRONOUS_TIMEOUT", "31s", "SYNCHRONOUS_TIMEOUT=31s: must not be more than HTTP_WRITE_TIMEOUT=30s"},
		"longer than the service waits":    {"SYNCHRONOUS_TIMEOUT", "13s", "SYNCHRONOUS_TIMEOUT=13s: must not be more than HTTP_CLOSE_TIMEOUT=12s"},
		"no time to come back that is one": {"SYNCHRONOUS_RETRY_AFTER", "1ms", "SYNCHRONOUS_RETRY_AFTER=1ms: must be from 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			env := defaultEnv(t)
			env[tt.variable] = tt.value
			err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
