package authority_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store/storetest"
)

// BenchmarkAuthorize sends signed reports of 64 products at a time through the whole desk on a durable SQLite database.
// Signing the requests is outside the measured time.
func BenchmarkAuthorize(b *testing.B) {
	const callers = 64
	st := storetest.OpenURL(b, filepath.Join(b.TempDir(), "bench.db"), time.Now)
	s := newSite(b, st, storetest.NewClock(time.Now()))
	s.order("SO-1", line(smp, 1_000_000))
	products := make([]*product, callers)
	requests := make([][][]byte, callers)
	for i := range products {
		products[i] = s.product(fmt.Sprintf("P%03d", i)).mustRegister()
		for n := range b.N/callers + 1 {
			requests[i] = append(requests[i], products[i].report(int64(n+1), use(smp, int64(1+n%3))))
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for i := range products {
		wg.Go(func() {
			for n := 0; left.Add(-1) >= 0 && n < len(requests[i]); n++ {
				if _, err := s.Machine(b.Context(), "authorize", requests[i][n]); err != nil {
					b.Errorf("authorize: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}
