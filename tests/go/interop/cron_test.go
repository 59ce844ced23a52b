package interop

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// neverDue is what Go answers in Unix seconds for a specification that never comes.
var neverDue = time.Time{}.Unix()

// A cronAnswer is a time (or neverDue), or why the specification is wrong.
type cronAnswer struct {
	at      int64
	refused string
}

// cronNext asks our library for the next times of many specifications.
func cronNext(peer *Peer, specs, zones []string, after []int64) []cronAnswer {
	var answers []cronAnswer
	for _, answer := range peer.Must("cron.next", M{"specs": specs, "zones": zones, "after_s": after})["next"].([]any) {
		switch answer := answer.(type) {
		case json.Number:
			at, _ := answer.Int64()
			answers = append(answers, cronAnswer{at, ""})
		case string:
			answers = append(answers, cronAnswer{0, answer})
		default:
			answers = append(answers, cronAnswer{neverDue, ""})
		}
	}
	return answers
}

// TestCronGrammar: H-05, H-06 and H-16 of the specification, and Go's opinion of the same texts.
func TestCronGrammar(t *testing.T) {
	peer := StartPeer(t, "unix:///nowhere")
	for id, texts := range map[string]map[string]bool{
		"H-05": {"*/15 9-17 * * mon-fri": true, "0 0 1,15 * 1": true, "@daily": true, "@every 1h30m": true,
			"CRON_TZ=Asia/Tokyo 0 6 * * *": true},
		"H-06": {"": false, "* * * *": false, "* * * * * *": false, "60 * * * *": false, "* * * * 7": false,
			"5-1 * * * *": false, "*/0 * * * *": false, "@fortnightly": false},
		"H-16": {" @daily": false, "0 0 * * monday": false, "-1 * * * *": false, "1/2/3 * * * *": false,
			"5/60 * * * *": true, "1,,2 * * * *": true, "  0 0 * * *  ": true, "@every -5s": true},
	} {
		t.Run(id, func(t *testing.T) {
			for text, good := range texts {
				_, err := cron.ParseStandard(text)
				equal(t, fmt.Sprintf("Go takes %q", text), err == nil, good)
				answer := cronNext(peer, []string{text}, []string{"UTC"}, []int64{0})[0]
				equal(t, fmt.Sprintf("C takes %q", text), answer.refused == "", good)
			}
		})
	}
}

// TestCronTimes: H-07 to H-10 and H-15, by our library and by Go's.
func TestCronTimes(t *testing.T) {
	peer := StartPeer(t, "unix:///nowhere")
	at := func(text string) int64 {
		if text == "never" {
			return neverDue
		}
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment.Unix()
	}
	const newYear = "2025-01-01T00:00:00Z"
	for _, row := range []struct{ id, spec, after, next string }{
		{"H-07", "0 0 13 * 5", newYear, "2025-01-03T00:00:00Z"},
		{"H-08", "0 0 */2 * 1", newYear, "2025-01-03T00:00:00Z"},
		{"H-09", "0 0 30 2 *", newYear, "never"},
		{"H-10", "CRON_TZ=America/New_York 30 2 * * *", "2025-03-09T05:00:00Z", "2025-03-10T06:30:00Z"},
		{"H-15", "0 0 1-31 * 1", newYear, "2025-01-02T00:00:00Z"},
		{"H-15", "0 0 */1 * 1", newYear, "2025-01-06T00:00:00Z"},
		{"H-15", "0 0 5,* * 1", newYear, "2025-01-06T00:00:00Z"},
	} {
		t.Run(row.id, func(t *testing.T) {
			schedule, err := cron.ParseStandard(row.spec)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Go: "+row.spec, schedule.Next(time.Unix(at(row.after), 0).UTC()).Unix(), at(row.next))
			answer := cronNext(peer, []string{row.spec}, []string{"UTC"}, []int64{at(row.after)})[0]
			equal(t, "C: "+row.spec, answer, cronAnswer{at(row.next), ""})
		})
	}
}

// zoneNames lists the zones of this machine that Go can load.
func zoneNames(t *testing.T) []string {
	const root = "/usr/share/zoneinfo"
	var names []string
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		if err == nil && entry.IsDir() && (name == "right" || name == "posix") {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() {
			if _, err := time.LoadLocation(name); err == nil {
				names = append(names, name)
			}
		}
		return nil
	})
	if len(names) < 300 {
		t.Fatalf("only %d zones in %s", len(names), root)
	}
	return names
}

// A cronDice makes specifications, zones and moments.
type cronDice struct {
	*rand.Rand
	zones    []string
	daysLost map[string]time.Time
}

func (d *cronDice) value(low, high int, names []string) string {
	value := low + d.Intn(high-low+1)
	if names != nil && d.Intn(3) == 0 {
		return names[value-low]
	}
	return strconv.Itoa(value)
}

func (d *cronDice) item(low, high int, names []string) string {
	var text string
	switch d.Intn(6) {
	case 0, 1:
		text = []string{"*", "?"}[d.Intn(2)]
	case 2:
		a, b := low+d.Intn(high-low+1), low+d.Intn(high-low+1)
		text = fmt.Sprintf("%d-%d", min(a, b), max(a, b))
	default:
		text = d.value(low, high, names)
	}
	if d.Intn(5) == 0 {
		text += fmt.Sprintf("/%d", 1+d.Intn(high+3))
	}
	return text
}

func (d *cronDice) field(low, high int, names []string) string {
	if d.Intn(3) == 0 {
		return "*"
	}
	items := []string{d.item(low, high, names)}
	for d.Intn(4) == 0 {
		items = append(items, d.item(low, high, names))
	}
	return strings.Join(items, ",")
}

func (d *cronDice) spec() string {
	months := []string{"jan", "FEB", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	days := []string{"sun", "Mon", "tue", "WED", "thu", "fri", "sat"}
	switch d.Intn(20) {
	case 0:
		return []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}[d.Intn(7)]
	case 1:
		return fmt.Sprintf("@every %v", time.Duration(d.Int63n(int64(3*24*time.Hour)))-time.Hour)
	}
	fields := []string{d.field(0, 59, nil), d.field(0, 23, nil), d.field(1, 31, nil), d.field(1, 12, months),
		d.field(0, 6, days)}
	text := strings.Join(fields, " ")
	if d.Intn(50) == 0 { // something that may be wrong
		at := d.Intn(len(text))
		text = text[:at] + string("0123456789*/-,? +ax@"[d.Intn(20)]) + text[at+d.Intn(2):]
	}
	return text
}

// dayLost returns the end of the last day that a zone left out when it crossed the date line. Go's library never returns
// when it comes to such a day.
func dayLost(zone *time.Location) (end time.Time) {
	for moment := time.Date(1972, 2, 1, 0, 0, 0, 0, time.UTC); moment.Year() < 2020; {
		_, change := moment.In(zone).ZoneBounds()
		if !change.After(moment) {
			break
		}
		_, before := change.Add(-time.Second).Zone()
		if _, after := change.Zone(); after-before >= 20*3600 {
			end = change
		}
		moment = change
	}
	return end
}

// moment lies between 1972, when all zones had come to whole minutes, and 2100; half of them near a change of clocks.
func (d *cronDice) moment(zone *time.Location) int64 {
	first := time.Date(1972, 2, 1, 0, 0, 0, 0, time.UTC).Unix()
	if lost := d.daysLost[zone.String()]; !lost.IsZero() {
		first = lost.Unix()
	}
	moment := first + d.Int63n(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()-first)
	if d.Intn(2) == 0 {
		if _, change := time.Unix(moment, 0).In(zone).ZoneBounds(); !change.IsZero() {
			moment = max(first, change.Unix()-d.Int63n(36*3600))
		}
	}
	return moment
}

// matches tells whether a moment meets the fields, by the calendar alone.
func matches(schedule *cron.SpecSchedule, moment time.Time) bool {
	const open = 1 << 63
	has := func(bits uint64, value int) bool { return bits>>uint(value)&1 == 1 }
	day, weekday := has(schedule.Dom, moment.Day()), has(schedule.Dow, int(moment.Weekday()))
	days := day || weekday
	if schedule.Dom&open != 0 || schedule.Dow&open != 0 {
		days = day && weekday
	}
	return days && has(schedule.Month, int(moment.Month())) && has(schedule.Hour, moment.Hour()) &&
		has(schedule.Minute, moment.Minute()) && moment.Second() == 0
}

// TestCronAgainstGo: the next times of random specifications in random zones are Go's. Where they are not, the calendar
// judges: Go oversees that a step over a skipped midnight leads into another day, and then answers a time that does not
// match, or misses one that does. CRON_TRIPLES sets how many are tried (a million take 3 minutes).
func TestCronAgainstGo(t *testing.T) {
	t.Parallel()
	const chunk = 5000
	total, _ := strconv.Atoi(os.Getenv("CRON_TRIPLES"))
	if total == 0 {
		total = 100_000
	}
	peer := StartPeer(t, "unix:///nowhere")
	seed := time.Now().UnixNano()
	dice := &cronDice{rand.New(rand.NewSource(seed)), zoneNames(t), map[string]time.Time{}}
	for _, name := range dice.zones {
		zone, _ := time.LoadLocation(name)
		dice.daysLost[name] = dayLost(zone)
	}
	var refused, never, goIsWrong int
	for done := 0; done < total; done += chunk {
		specs, zones, after := make([]string, chunk), make([]string, chunk), make([]int64, chunk)
		locations := make([]*time.Location, chunk)
		for i := range specs {
			specs[i], zones[i] = dice.spec(), dice.zones[dice.Intn(len(dice.zones))]
			locations[i], _ = time.LoadLocation(zones[i])
			after[i] = dice.moment(locations[i])
			if dice.Intn(2) == 0 {
				specs[i] = "CRON_TZ=" + zones[i] + " " + specs[i]
			}
		}
		for i, answer := range cronNext(peer, specs, zones, after) {
			schedule, err := cron.ParseStandard(specs[i])
			if (err != nil) != (answer.refused != "") {
				t.Fatalf("seed %d: %q: Go says %v, C says %q", seed, specs[i], err, answer.refused)
			}
			if err != nil {
				refused++
				continue
			}
			start := time.Unix(after[i], 0).In(locations[i])
			want := schedule.Next(start)
			if answer.at == neverDue {
				never++
			}
			if answer.at == want.Unix() {
				continue
			}
			ours := time.Unix(answer.at, 0).In(start.Location())
			fields, isFields := schedule.(*cron.SpecSchedule)
			if !isFields || !judge(fields, start, ours, want) {
				t.Fatalf("seed %d: %q in %s after %v: Go %v, C %v", seed, specs[i], zones[i], start, want, ours)
			}
			goIsWrong++
		}
	}
	t.Logf("%d triples: %d refused by both, %d never due, Go wrong by the calendar in %d", total, refused, never, goIsWrong)
	if goIsWrong > total/100 {
		t.Errorf("%d differences are too many", goIsWrong)
	}
}

// judge tells whether `ours` (or never) is the first match by the calendar. Then Go's answer, another one, is not.
func judge(schedule *cron.SpecSchedule, start, ours, gos time.Time) bool {
	limit := ours
	if ours.Unix() == neverDue {
		limit = time.Date(start.Year()+6, 1, 1, 0, 0, 0, 0, start.Location())
	} else if !matches(schedule, ours) {
		return false
	}
	if !gos.IsZero() && gos.Before(limit) && matches(schedule, gos.In(start.Location())) {
		return false
	}
	for moment := start.Truncate(time.Minute).Add(time.Minute); moment.Before(limit); moment = moment.Add(time.Minute) {
		if matches(schedule, moment) {
			return false
		}
	}
	return true
}
