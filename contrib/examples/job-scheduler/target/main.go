// The service that the jobs call. What a call does is in its URL:
//
//	/call/ok?ms=250        answers after so long
//	/call/fail             500
//	/call/flaky?times=2    500 the first two times that a task comes, then fine
//	/call/gone             404: no other attempt will repair that
//	/call/busy             429 with Retry-After: 1 the first time, then fine
//	/call/reset            hangs up without an answer
//
// Each call leaves two lines of JSON in a log, one when it comes and one when it ends, so that the history can be compared
// with what really happened.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type line struct {
	What    string `json:"what"` // "begin" or "end"
	Task    string `json:"task"`
	Retried string `json:"retried"`
	Kind    string `json:"kind"`
	Status  int    `json:"status,omitempty"` // 0 at the end: the caller went away, or was left without an answer
	AtMs    int64  `json:"at_ms"`
}

type target struct {
	mutex sync.Mutex
	log   *json.Encoder
	calls map[string]int // of each task
}

func (t *target) write(l line) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	l.AtMs = time.Now().UnixMilli()
	t.log.Encode(l)
}

// count tells how often this task has come, this time included.
func (t *target) count(task string) int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.calls[task]++
	return t.calls[task]
}

func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := strings.TrimPrefix(r.URL.Path, "/call/")
	own := line{What: "begin", Task: r.Header.Get("Idempotency-Key"), Retried: r.Header.Get("Asynq-Retried"), Kind: kind}
	t.write(own)
	own.What = "end"
	defer func() { t.write(own) }()
	calls := t.count(own.Task)
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	times, _ := strconv.Atoi(r.URL.Query().Get("times"))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	own.Status = http.StatusOK
	switch {
	case kind == "fail", kind == "flaky" && calls <= times:
		own.Status = http.StatusInternalServerError
	case kind == "gone":
		own.Status = http.StatusNotFound
	case kind == "busy" && calls == 1:
		own.Status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	case kind == "reset":
		own.Status = 0
		if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
			connection.Close()
		}
		return
	}
	w.WriteHeader(own.Status)
	fmt.Fprintf(w, "%s, call %d of task %s\n", kind, calls, own.Task)
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "host:port")
	path := flag.String("log", "target.log", "where calls are logged")
	ready := flag.String("ready", "", "a file that gets host:port when calls are taken")
	flag.Parse()
	file, err := os.OpenFile(*path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if *ready != "" {
		if err := os.WriteFile(*ready, []byte(listener.Addr().String()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(http.Serve(listener, &target{log: json.NewEncoder(file), calls: map[string]int{}}))
}
