package jobstatus

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
