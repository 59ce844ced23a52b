package main

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

const (
	chartWidth, nameWidth, barHeight, barGap = 860, 330, 20, 6
	chartTop                                 = 56
)

// chart draws a bar per ratio on a logarithmic scale; 1x is Go's Asynq.
func chart(all []*measured.Outcome) string {
	var bars []string
	most := 10.0
	rows := 0
	for _, o := range all {
		for _, r := range o.Ratios {
			most = math.Max(most, r.Value)
		}
	}
	room := float64(chartWidth - nameWidth - 90)
	length := func(value float64) float64 { return math.Max(2, room*math.Log10(math.Max(value, 1))/math.Log10(most)) }
	for _, o := range all {
		for i, r := range o.Ratios {
			label := o.Text
			if i > 0 {
				label = r.Name
			}
			y := chartTop + rows*(barHeight+barGap)
			bars = append(bars, fmt.Sprintf(`<text x="%d" y="%d" text-anchor="end">%s</text>`, nameWidth-8, y+15,
				html.EscapeString(shorten(label))),
				fmt.Sprintf(`<rect x="%d" y="%d" width="%.0f" height="%d" rx="3"/>`, nameWidth, y, length(r.Value), barHeight),
				fmt.Sprintf(`<text x="%.0f" y="%d">%s</text>`, nameWidth+length(r.Value)+6, y+15, times(r.Value)))
			rows++
		}
	}
	height := chartTop + rows*(barHeight+barGap) + 16
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">
<style>text{font:13px sans-serif;fill:#333}rect{fill:#2f6f9f}.title{font-size:16px;font-weight:bold}</style>
<rect width="100%%" height="100%%" style="fill:#fff"/>
<text class="title" x="16" y="24">libasynq beside Go's Asynq: times better</text>
<text x="16" y="42">medians of one run, logarithmic; made by bench/compare</text>
%s
</svg>
`, chartWidth, height, chartWidth, height, strings.Join(bars, "\n"))
}

func shorten(text string) string {
	if len(text) > 50 {
		return text[:49] + "…"
	}
	return text
}

func times(value float64) string {
	if value >= 10 {
		return fmt.Sprintf("%.0fx", value)
	}
	return fmt.Sprintf("%.1fx", value)
}
