// Package browser drives a real browser in tests: Chromium, as it is installed
// on this machine.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long something on a page is waited for.
const patience = 60 * time.Second

// lookEvery is how often a page is looked at while something is waited for.
// Its mutations would not do: the focus, what stands in a field, and what comes
// between a first look and the watching are none.
const lookEvery = 15 * time.Millisecond

// names are what Chromium is called by distributions.
var names = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}

// Find gives the browser: BERTH_CHROMIUM, else the first on the PATH. Without
// one it skips the test, but where BERTH_REQUIRE_BROWSER says that there must
// be one.
func Find(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("BERTH_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("BERTH_REQUIRE_BROWSER") != "" {
		t.Fatal("there is no Chromium: apt-get install -y chromium, or name one in BERTH_CHROMIUM")
	}
	t.Skip("there is no Chromium: apt-get install -y chromium, or name one in BERTH_CHROMIUM")
	return ""
}

// Tab is a page in a browser of its own. What fails ends the test, with what
// the page shows.
type Tab struct {
	t   testing.TB
	ctx context.Context

	clicks int

	mu       sync.Mutex
	troubles []string
}

// Open starts a browser with a window of that size.
func Open(t testing.TB, width, height int) *Tab {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(Find(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(width, height),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU,
	}
	// It calls nobody by itself.
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to start as root with one
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	tab := newTab(t, ctx)
	tab.Resize(width, height)
	return tab
}

// newTab opens a page, in the browser of parent if there is one.
func newTab(t testing.TB, parent context.Context, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	b := &Tab{t: t}
	var end context.CancelFunc
	b.ctx, end = chromedp.NewContext(parent, append(options, chromedp.WithListener(b.note))...)
	t.Cleanup(end)
	// The first step starts the browser, which must not end with its time.
	if _, err := chromedp.Call(b.ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// note collects what the browser complains of.
func (b *Tab) note(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += ": " + x.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			text = e.Entry.Text
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.troubles = append(b.troubles, text)
	}
}

// Troubles are the page's errors so far: exceptions, refused content, failed
// requests.
func (b *Tab) Troubles() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.troubles...)
}

// run takes a step and ends the test when that fails.
func run[T any](b *Tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.fail("%v", err)
	}
	return v
}

func (b *Tab) fail(format string, args ...any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + " shows:\n" + document.body?.innerText`))
	if err != nil {
		shown = err.Error()
	}
	if path := os.Getenv("BERTH_SCREENSHOT"); path != "" {
		if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
			_ = os.WriteFile(path, png, 0o644)
		}
	}
	b.t.Fatalf("%s\n%s\ntroubles: %s", fmt.Sprintf(format, args...), shown, strings.Join(b.Troubles(), "\n"))
}

// Go opens an address.
func (b *Tab) Go(url string) {
	b.t.Helper()
	run(b, chromedp.Navigate(url))
}

// Click clicks the first visible element that a selector finds.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	b.click(`(selector) => [...document.querySelectorAll(selector)].find((e) => e.checkVisibility({ visibilityProperty: true }))`, selector)
}

// ClickText clicks the last visible button, link or choice, below what the
// selector finds, that is called text: what is there for the eye alone does not
// count.
func (b *Tab) ClickText(below, text string) {
	b.t.Helper()
	b.click(`(below, text) => {
		const called = (e) => { const c = e.cloneNode(true); c.querySelectorAll("[aria-hidden]").forEach((x) => x.remove()); return c.textContent.trim(); };
		return [...document.querySelectorAll(below)].flatMap((e) => [...e.querySelectorAll("button, a, [role=option], summary")])
			.filter((e) => e.checkVisibility({ visibilityProperty: true }) && called(e) === text).at(-1);
	}`, below, text)
}

// click presses the mouse on the element that a function finds, once nothing
// covers it and it keeps its place.
func (b *Tab) click(find string, args ...any) {
	b.t.Helper()
	b.clicks++
	at := wait[[]float64](b, `(click, ...args) => {
		const e = (`+find+`)(...args);
		if (!e) return null;
		e.scrollIntoView({ block: "nearest" });
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		const there = document.elementFromPoint(x, y), now = [click, x, y].join(), before = window.clickedAt;
		window.clickedAt = now;
		return now === before && there && (e.contains(there) || there.contains(e)) ? [x, y] : null;
	}`, append([]any{b.clicks}, args...)...)
	run(b, chromedp.MouseClickXY(at[0], at[1]))
}

// Type types into what has the focus. Keys such as "\r" are keys.
func (b *Tab) Type(keys string) {
	b.t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		// A key press brings its text along, as a keyboard's does: a page that
		// takes the key for something else keeps the text out.
		for i, e := range events {
			if e.Type == kb.KeyChar {
				events[0].Type, events[0].Text = kb.KeyDown, e.Text
				events = append(events[:i], events[i+1:]...)
				break
			}
		}
		for _, e := range events {
			run(b, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
				_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *e)
				return chromedp.Void{}, err
			})
		}
	}
}

// Wait waits until a JavaScript function gives true.
func (b *Tab) Wait(function string, args ...any) {
	b.t.Helper()
	wait[bool](b, function, args...)
}

// wait waits until a function gives something true, and gives that.
func wait[T any](b *Tab, function string, args ...any) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.PollFunction[T](function, chromedp.WithPollingInterval(lookEvery), chromedp.WithPollingTimeout(patience), chromedp.WithPollingArgs(args...)))
	if err != nil {
		b.fail("waiting for %s %q: %v", function, args, err)
	}
	return v
}

// Text waits until what a selector finds shows text.
func (b *Tab) Text(selector, text string) {
	b.t.Helper()
	b.Wait(`(selector, text) => [...document.querySelectorAll(selector)].some((e) => e.checkVisibility({ visibilityProperty: true }) && e.innerText.includes(text))`, selector, text)
}

// Gone waits until nothing visible is found by a selector.
func (b *Tab) Gone(selector string) {
	b.t.Helper()
	b.Wait(`(selector) => ![...document.querySelectorAll(selector)].some((e) => e.checkVisibility({ visibilityProperty: true }))`, selector)
}

// Eval gives what a JavaScript expression is, as a text.
func (b *Tab) Eval(expression string) string {
	b.t.Helper()
	return run(b, chromedp.Evaluate[string]("String("+expression+")"))
}

// Follow clicks as ClickText does on what opens a page of its own, and gives
// that page.
func (b *Tab) Follow(below, text string) *Tab {
	b.t.Helper()
	opened := chromedp.WaitNewTarget(b.ctx, func(*target.Info) bool { return true })
	b.ClickText(below, text)
	select {
	case id := <-opened:
		return newTab(b.t, b.ctx, chromedp.WithTargetID(id))
	case <-time.After(patience):
		b.fail("%s opened no page", text)
		return nil
	}
}

// Close closes the page.
func (b *Tab) Close() {
	b.t.Helper()
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Errorf("closing a page: %v", err)
	}
}

// Resize gives the window another size.
func (b *Tab) Resize(width, height int) {
	b.t.Helper()
	run(b, chromedp.EmulateViewport(int64(width), int64(height)))
}

// Shot writes what the window shows to a PNG file.
func (b *Tab) Shot(path string) {
	b.t.Helper()
	if err := os.WriteFile(path, run(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
