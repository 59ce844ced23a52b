// An API as a team has it already: it enqueues with Asynq's Go client, and knows nothing of what runs the tasks.
//
//	POST /calls {"kind": "ok", "ms": 20, "queue": "critical"}
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hibiken/asynq"
)

type call struct {
	Kind     string `json:"kind"`
	Ms       int    `json:"ms"`
	Times    int    `json:"times"`
	Queue    string `json:"queue,omitempty"`
	MaxRetry *int   `json:"max_retry,omitempty"`
}

func enqueue(client *asynq.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var wanted call
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		options := []asynq.Option{asynq.Timeout(95 * time.Second), asynq.Retention(time.Hour)}
		if wanted.Queue != "" {
			options = append(options, asynq.Queue(wanted.Queue))
		}
		if wanted.MaxRetry != nil {
			options = append(options, asynq.MaxRetry(*wanted.MaxRetry))
		}
		payload, _ := json.Marshal(map[string]any{"kind": wanted.Kind, "ms": wanted.Ms, "times": wanted.Times})
		info, err := client.Enqueue(asynq.NewTask("call", payload), options...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		json.NewEncoder(w).Encode(map[string]string{"id": info.ID, "queue": info.Queue})
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "host:port")
	redis := flag.String("redis", "redis://127.0.0.1:6379", "where Redis is")
	ready := flag.String("ready", "", "a file that gets host:port when calls are taken")
	flag.Parse()
	opt, err := asynq.ParseRedisURI(*redis)
	if err != nil {
		log.Fatal(err)
	}
	client := asynq.NewClient(opt)
	defer client.Close()
	http.HandleFunc("POST /calls", enqueue(client))
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if *ready != "" {
		if err := os.WriteFile(*ready, []byte(listener.Addr().String()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(http.Serve(listener, nil))
}
