package harness

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/x/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Prometheus is a real one.
type Prometheus struct {
	t   *testing.T
	URL string
}

// StartExporter serves what Asynq's own collector exports of a Redis, and returns the URL.
func StartExporter(t testing.TB, r *Redis) string {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewQueueMetricsCollector(asynq.NewInspector(r.Opt())))
	exporter := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(exporter.Close)
	return exporter.URL
}

// StartPrometheus starts one that scrapes a URL's host, and ends with the test.
func StartPrometheus(t *testing.T, target string) *Prometheus {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: { scrape_interval: 1s }\nscrape_configs: [ { job_name: asynq, static_configs: [ { targets: [ %q ] } ] } ]\n",
		strings.TrimPrefix(target, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &Prometheus{t, "http://" + address}
}

// Series counts the series that a query finds.
func (p *Prometheus) Series(query string) int {
	response, err := http.Get(p.URL + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	var answer struct{ Data struct{ Result []any } }
	json.NewDecoder(response.Body).Decode(&answer)
	return len(answer.Data.Result)
}

// Has waits until a query finds so many series.
func (p *Prometheus) Has(query string, series int) {
	p.t.Helper()
	Eventually(p.t, 30*time.Second, query, func() bool { return p.Series(query) >= series })
}
