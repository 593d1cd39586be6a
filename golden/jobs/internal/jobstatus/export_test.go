package jobstatus

import "github.com/prometheus/client_golang/prometheus/testutil"

// Reads returns how many reads had that result.
func (b *Board) Reads(result string) float64 {
	return testutil.ToFloat64(b.readsTotal.WithLabelValues(result))
}

// Occupy takes all the turns to read, until the function it returns is called.
func (b *Board) Occupy() (release func()) {
	for range cap(b.reads) {
		b.reads <- struct{}{}
	}
	return func() {
		for range cap(b.reads) {
			<-b.reads
		}
	}
}
