// Package bench measures beside Go, in one run. It is not part of the checks: run it with bench/pickup.
package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

func setting(name string, standard int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return standard
}

// samples enqueues tasks at a steady rate with Go's client, and returns the times from each enqueue call to the start
// of its handler, sorted.
func samples(t *testing.T, kind string, count, perSecond int) []time.Duration {
	r := StartRedis(t)
	path := filepath.Join(r.Dir, "ledger")
	server := StartServer(t, kind, r, ServerOptions{Concurrency: 10, LedgerPath: path})
	defer server.Shutdown()
	e := NewGoEnqueuer(t, r)
	time.Sleep(2 * time.Second) // connected, idle
	called := map[string]time.Time{}
	begin := time.Now()
	for i := range count {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		id := fmt.Sprint("task-", i)
		called[id] = time.Now()
		if result := e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: &id}}); result.Class != "" {
			t.Fatal(result.Text)
		}
	}
	Eventually(t, 10*time.Second, "all tasks to run", func() bool { return len(Starts(ReadLedger(t, path))) == count })
	var list []time.Duration
	for _, line := range ReadLedger(t, path) {
		if line.What == "start" {
			list = append(list, time.UnixMicro(line.AtUs).Sub(called[line.ID]))
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return list
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// TestPickUp prints how long a task waits for an idle worker, Go's and ours, with Go's client enqueueing.
func TestPickUp(t *testing.T) {
	count, rate, rounds := setting("SAMPLES", 1000), setting("RATE", 100), setting("ROUNDS", 1)
	all := map[string][]time.Duration{}
	for round := range rounds {
		kinds := []string{"go", "c"}
		if round%2 == 1 {
			kinds = []string{"c", "go"}
		}
		for _, kind := range kinds {
			all[kind] = append(all[kind], samples(t, kind, count, rate)...)
		}
	}
	fmt.Printf("pick-up at %d tasks/s, %d samples each, from the Go client's call to the handler's start\n", rate, count*rounds)
	fmt.Printf("%-8s %10s %10s %10s\n", "worker", "p50 ms", "p99 ms", "max ms")
	at := func(kind string, share float64) time.Duration {
		list := all[kind]
		sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
		return list[int(share*float64(len(list)-1))]
	}
	for _, kind := range []string{"go", "c"} {
		fmt.Printf("%-8s %10.2f %10.2f %10.2f\n", kind, ms(at(kind, 0.5)), ms(at(kind, 0.99)), ms(at(kind, 1)))
	}
	for name, share := range map[string]float64{"pickup_100_p50": 0.5, "pickup_100_p99": 0.99} {
		fmt.Printf("ratio %s %.1f\n", name, ms(at("go", share))/ms(at("c", share)))
	}
}
