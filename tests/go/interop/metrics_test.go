package interop

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// goMetrics is what Asynq's own collector exports, as a scraper reads it.
func goMetrics(t *testing.T, r *Redis) string {
	t.Helper()
	response, err := http.Get(StartExporter(t, r))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func cMetrics(t *testing.T, r *Redis) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(BuildDir(), "asynqctl"), "metrics")
	cmd.Env = append(os.Environ(), "ASYNQ_REDIS_URI="+r.URI())
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// series are the values of all series, and the types of all metrics under "TYPE <name>".
func series(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "# TYPE "):
			found["TYPE "+words[2]] = words[3]
		case strings.HasPrefix(line, "# HELP "):
		default:
			at := strings.LastIndex(line, " ")
			if _, twice := found[line[:at]]; twice {
				t.Errorf("twice: %s", line)
			}
			found[line[:at]] = line[at+1:]
		}
	}
	return found
}

// TestMetrics: M-01 of the specification. What Asynq's collector exports, `asynqctl metrics` prints.
func TestMetrics(t *testing.T) {
	t.Parallel()
	t.Run("M-01", func(t *testing.T) {
		r := StartRedis(t)
		client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
		defer client.Close()
		defer inspector.Close()
		enqueue := func(queue string, n int, options ...asynq.Option) {
			for range n {
				if _, err := client.Enqueue(asynq.NewTask("none", nil), append(options, asynq.Queue(queue))...); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := StartServer(t, "go", r, ServerOptions{Queues: map[string]int{"done": 1}})
		for i := range 5 {
			wish := Wish{}
			if i == 0 {
				wish.Do = "skip"
			}
			if _, err := client.Enqueue(asynq.NewTask("t", []byte(*wish.Payload())), asynq.Queue("done"), asynq.Retention(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		Eventually(t, 20*time.Second, "tasks to be done", func() bool {
			return r.Int("ZCARD", QueueKey("done", "completed")) == 4 && r.Int("ZCARD", QueueKey("done", "archived")) == 1
		})
		s.Shutdown()
		enqueue("default", 3)
		enqueue("default", 2, asynq.ProcessIn(time.Hour))
		enqueue("default", 4, asynq.Group("g"))
		enqueue("a \"strange\\ name\n", 1)
		r.Do("ZADD", QueueKey("default", "retry"), time.Now().Unix()+60, "some")
		r.Do("HSET", TaskKey("default", "some"), "msg", "", "state", "retry")
		if err := inspector.PauseQueue("default"); err != nil {
			t.Fatal(err)
		}

		theirs, ours := series(t, goMetrics(t, r)), series(t, cMetrics(t, r))
		for name, want := range theirs {
			got, found := ours[name]
			if !found {
				t.Errorf("missing: %s %s", name, want)
				continue
			}
			number, err := strconv.ParseFloat(got, 64)
			wanted, _ := strconv.ParseFloat(want, 64)
			switch {
			case err != nil:
				equal(t, name, got, want)
			case strings.HasPrefix(name, "asynq_queue_latency_seconds"):
				if math.Abs(number-wanted) > 10 || (number == 0) != (wanted == 0) {
					t.Errorf("%s: got %v, want %v", name, number, wanted)
				}
			default:
				equal(t, name, number, wanted)
			}
		}
		for name := range ours {
			if _, found := theirs[name]; !found {
				t.Errorf("too much: %s", name)
			}
		}
		equal(t, "paused", ours[`asynq_queue_paused_total{queue="default"}`], "1")
		equal(t, "size", ours[`asynq_queue_size{queue="default"}`], fmt.Sprint(3+2+4+1))
		for name := range ours {
			if regexp.MustCompile("aggregating").MatchString(name) {
				t.Errorf("too much: %s", name)
			}
		}
	})
	t.Run("no queue", func(t *testing.T) {
		for name := range series(t, cMetrics(t, StartRedis(t))) {
			if !strings.HasPrefix(name, "TYPE ") {
				t.Errorf("too much: %s", name)
			}
		}
	})
}
