// Package measured is what the programs that measure us beside others have in common: what their rounds come to, and the
// Redis that they run on. They end when something goes wrong.
package measured

import (
	"log"
	"math"
	"sort"
)

// Metrics are what one run of one side measured, by name.
type Metrics map[string]float64

// Outcome is what all rounds of a case measured, by side.
type Outcome struct {
	Name   string               `json:"name"`
	Text   string               `json:"text"`
	Sides  map[string][]Metrics `json:"sides"`
	Ratios []Ratio              `json:"ratios"`
}

// Ratio tells how many times better one side is: the median of all rounds, and their range.
type Ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}

// Median leaves the values as they are.
func Median(values []float64) float64 {
	sorted := append([]float64{}, values...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// Median is that of a side's rounds.
func (o *Outcome) Median(side, metric string) float64 {
	var values []float64
	for _, m := range o.Sides[side] {
		values = append(values, m[metric])
	}
	return Median(values)
}

// Compare takes the ratio of each round, whose runs follow each other. Of a cost, the smaller one is better.
func (o *Outcome) Compare(name, ours, theirs, metric string, isCost bool) Ratio {
	var values []float64
	for round := range o.Sides[ours] {
		better, worse := o.Sides[ours][round][metric], o.Sides[theirs][round][metric]
		if isCost {
			better, worse = worse, better
		}
		values = append(values, better/worse)
	}
	sort.Float64s(values)
	return Ratio{name, Median(values), values[0], values[len(values)-1]}
}

// MustHave ends the program unless each run has measured this: a ratio of nothing is none.
func (o *Outcome) MustHave(metric string) {
	for side, runs := range o.Sides {
		for _, m := range runs {
			if value, ok := m[metric]; !ok || value <= 0 || math.IsInf(value, 0) || math.IsNaN(value) {
				log.Fatalf("%s: %s has no %s: %v", o.Name, side, metric, m)
			}
		}
	}
}
