package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// Browser is a headless Chromium with one page.
type Browser struct {
	t    *testing.T
	ctx  context.Context
	base string
}

// Chromium finds the program under the names that systems give it.
func Chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// StartBrowser starts one that reaches nothing but this machine: the pages of Asynqmon link fonts from the web.
func StartBrowser(t *testing.T, base string) *Browser {
	t.Helper()
	if Chromium() == "" {
		t.Fatal("chromium is not installed (tools/setup check does it)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(Chromium()), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	b := &Browser{t, ctx, base}
	b.must(chromedp.Run(ctx)) // starts it; its context must have no end of its own
	return b
}

// In is the same browser, for a part of the test.
func (b *Browser) In(t *testing.T) *Browser { return &Browser{t, b.ctx, b.base} }

func (b *Browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// Open goes to a page.
func (b *Browser) Open(path string) {
	b.t.Helper()
	b.must(chromedp.Run(b.ctx, chromedp.Navigate(b.base+path)))
}

// Ask evaluates an expression of JavaScript.
func (b *Browser) Ask(expression string, into any) {
	b.t.Helper()
	b.must(chromedp.Run(b.ctx, chromedp.Evaluate(expression, into)))
}

// Until waits for an expression of JavaScript to hold.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	holds := false
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b.Ask("Boolean("+expression+")", &holds)
		if holds {
			return
		}
		if time.Now().After(end) {
			var text string
			b.Ask("document.body.innerText", &text)
			b.t.Fatalf("waited for %s; the page says:\n%s", expression, text)
		}
	}
}

// Shows waits for texts on the page.
func (b *Browser) Shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.Until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
	}
}

// Click waits for an element, given as an expression of JavaScript, and clicks in its middle.
func (b *Browser) Click(element string) {
	b.t.Helper()
	b.Until(element)
	var at [2]float64
	b.Ask(fmt.Sprintf(`(() => { const e = %s; e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2] })()`, element), &at)
	b.must(chromedp.Run(b.ctx, chromedp.MouseClickXY(at[0], at[1])))
}

// Press clicks an element without the mouse, for those that move.
func (b *Browser) Press(element string) {
	b.t.Helper()
	b.Until(element)
	b.Ask(fmt.Sprintf("(%s).click()", element), nil)
}

func row(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].find(r => r.innerText.includes(%q))`, text)
}

// Act presses a button of a table's row. They exist only while the pointer is in the row's last cell.
func (b *Browser) Act(rowText, title string) {
	b.t.Helper()
	b.Until(row(rowText))
	button := fmt.Sprintf(`(%s)?.querySelector("button[title='%s'], button[aria-label='%s']")`, row(rowText), title, title)
	there := false
	for end := time.Now().Add(10 * time.Second); !there && time.Now().Before(end); {
		var at [2]float64
		b.Ask(fmt.Sprintf(`(() => { const c = (%s).querySelector("td:last-child"); c.scrollIntoView({block: "nearest"});
			const r = c.getBoundingClientRect(); return [r.x + 2, r.y + 2] })()`, row(rowText)), &at)
		b.must(chromedp.Run(b.ctx, chromedp.MouseEvent(input.MouseMoved, 2, 2), chromedp.MouseEvent(input.MouseMoved, at[0], at[1]),
			chromedp.Sleep(50*time.Millisecond)))
		b.Ask("Boolean("+button+")", &there)
	}
	b.Press(button)
}

// WithText is the element of a kind that has exactly this text.
func WithText(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.textContent.trim() === %q)`, selector, text)
}

// Picture writes the page as a PNG file into the directory that SCREENSHOTS names, if it does; the README shows some
// that are kept in docs/pictures.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	directory := os.Getenv("SCREENSHOTS")
	var picture []byte
	b.must(chromedp.Run(b.ctx, chromedp.MouseEvent(input.MouseMoved, 2, 2), chromedp.Sleep(400*time.Millisecond),
		chromedp.CaptureScreenshot(&picture)))
	if directory != "" {
		b.must(os.WriteFile(filepath.Join(directory, name+".png"), picture, 0o644))
	}
}
