package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chartRow is what a figure is called in the README's chart, for those who do not know the names of cases.
type chartRow struct {
	ratio, label string
	unit         string
	per          float64 // of what was measured, in that unit
}

var chartRows = []chartRow{
	{"work_c100_async", "Tasks per second, one worker, 100 at a time", "", 1},
	{"work_1ms", "Tasks per second, network latency of 1 ms", "", 1},
	{"active10000", "Tasks per second, while 10,000 others run", "", 1},
	{"enqueue_batch", "Enqueued per second, in batches (Go: 16 callers)", "", 1},
	{"enqueue_callers16", "Enqueued per second, one by one, 16 callers", "", 1},
	{"pickup_100_p99", "From enqueue to start, idle worker, p99", "ms", 1},
	{"lateness_p99", "Scheduled tasks: delay beyond their time, p99", "ms", 1},
	{"redis_cpu_work_c100", "CPU time of Redis per task", "µs", 1},
	{"worker_cpu_c100", "CPU time of the worker per task", "µs", 1},
	{"rss_c100", "Memory of a worker, 100 tasks at a time", "MB", 1000},
}

const (
	chartWidth, chartTop, rowHeight = 860, 92, 28
	labelX, otherX, ownX, barX      = 16, 430, 530, 550
	barRoom                         = 230
)

// Its own background, so that it can be read on any page; in dark pages it is dark.
const chartStyle = `text{font:13px -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:16px;font-weight:bold}.quiet{fill:#59636e}.number{text-anchor:end}.own{font-weight:bold}
.page{fill:#fff}.bar{fill:#2f6f9f}.line{stroke:#d1d9e0}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.page{fill:#0d1117}.bar{fill:#4493c8}.line{stroke:#3d444d}}`

// chart has a line for each row that was measured: both figures, and a bar on a logarithmic scale from 1x on.
func chart(list []figure, source string) string {
	byName, highest, rounds := map[string]figure{}, 10.0, 0
	for _, f := range list {
		byName[f.name] = f
		rounds = max(rounds, f.rounds)
	}
	for _, row := range chartRows {
		highest = math.Max(highest, byName[row.ratio].times)
	}
	var rows []string
	for _, row := range chartRows {
		if f, ok := byName[row.ratio]; ok {
			rows = append(rows, drawRow(row, f, chartTop+len(rows)*rowHeight, highest))
		}
	}
	height := chartTop + len(rows)*rowHeight + 4
	head := []string{
		fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, chartWidth, height),
		"<title>libasynq beside Go's Asynq</title>", "<style>" + chartStyle + "</style>", `<rect class="page" width="100%" height="100%"/>`,
		word("title", labelX, 26, "libasynq beside Go's Asynq"),
		word("quiet", labelX, 46, fmt.Sprintf("Medians of %d rounds; %s", rounds, source)),
		word("number", otherX, 76, "Go Asynq"), word("number own", ownX, 76, "libasynq"),
		word("", barX, 76, "times better, on a logarithmic scale"),
	}
	return strings.Join(append(append(head, rows...), "</svg>"), "\n") + "\n"
}

// drawRow draws a line whose top is y.
func drawRow(row chartRow, f figure, y int, highest float64) string {
	length := int(math.Max(2, barRoom*math.Log10(math.Max(f.times, 1))/math.Log10(highest)))
	return strings.Join([]string{
		fmt.Sprintf(`<line class="line" x1="%d" x2="%d" y1="%d" y2="%[3]d"/>`, labelX, chartWidth-labelX, y),
		word("", labelX, y+19, row.label),
		word("number", otherX, y+19, amount(f.other, row)), word("number own", ownX, y+19, amount(f.own, row)),
		fmt.Sprintf(`<rect class="bar" x="%d" y="%d" width="%d" height="16" rx="3"/>`, barX, y+6, length),
		word("", barX+length+6, y+19, times(f.times)),
	}, "\n")
}

func word(class string, x, y int, text string) string {
	if class != "" {
		class = `class="` + class + `" `
	}
	return fmt.Sprintf(`<text %sx="%d" y="%d">%s</text>`, class, x, y, html.EscapeString(text))
}

func amount(value float64, row chartRow) string {
	return strings.TrimSuffix(number(value/row.per)+" "+row.unit, " ")
}

func times(value float64) string {
	if value < 99.95 {
		return fmt.Sprintf("%.1fx", value)
	}
	return number(value) + "x"
}
