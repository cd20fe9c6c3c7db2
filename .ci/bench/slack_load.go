package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/jobs"
	"github.com/berth-dev/berth/orchestrator/policy"
	"github.com/berth-dev/berth/orchestrator/store"
)

// The load: commands a second over channels, one in so many a change.
const (
	loadRate     = 200
	loadChannels = 100
	loadChange   = 100
)

// door is what the process that is measured is told.
type door struct{ Path, API, Bot, App string }

// slackLoad measures the door to Slack under load: the stand-in in this
// process, and in another one the door, the use cases, the job queue and the
// database as serve has them. Only branch checks and the work on servers are
// stubs: they always succeed, the work after a second.
func slackLoad(dir string, seconds int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second+10*time.Minute)
	defer cancel()
	members := []string{slackfake.BotUser}
	o := slackfake.Options{Keep: 40 * loadRate * seconds}
	for i := range loadChannels {
		u := slackfake.User{ID: fmt.Sprintf("U0P%03d", i), Name: fmt.Sprintf("p%d", i), Email: fmt.Sprintf("p%d@example.com", i)}
		o.Users = append(o.Users, u)
		members = append(members, u.ID)
	}
	for i := range loadChannels {
		o.Channels = append(o.Channels, slackfake.Channel{ID: fmt.Sprintf("C0L%03d", i), Name: fmt.Sprintf("load-%d", i), Members: members})
	}
	fake, err := slackfake.New(o)
	if err != nil {
		return err
	}
	defer fake.Close()
	told, err := json.Marshal(door{Path: filepath.Join(dir, "slack", "berth.db"), API: fake.APIURL(), Bot: fake.BotToken(), App: fake.AppToken()})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-slack-door", string(told))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		in.Close()
		_ = cmd.Wait() // it says itself what went wrong
	}()
	if err := fake.Wait(ctx, func() bool { return fake.Connections() == 2 }); err != nil {
		return err
	}

	// The typing: commands at their times, however long the earlier ones take.
	reads := []string{"list", "", "show load-0", "help", "why load-0", "history load-0"}
	total := loadRate * seconds
	begun := time.Now()
	var refused atomic.Int64
	typed := make(chan struct{}, total)
	for i := range total {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / loadRate)))
		text := reads[i%len(reads)]
		if i%loadChange == 0 {
			text = fmt.Sprintf("create load-%d", i/loadChange)
		}
		n := i * 7 % loadChannels
		go func() {
			out, err := fake.User(fmt.Sprintf("U0P%03d", n)).Command(ctx, fmt.Sprintf("C0L%03d", n), "/env", text)
			if err != nil || out.Failure != "" {
				refused.Add(1)
			}
			typed <- struct{}{}
		}()
	}
	for range total {
		<-typed
	}
	peak, err := resident(cmd.Process.Pid, "VmHWM:")
	if err != nil {
		return err
	}
	load := time.Since(begun)

	changes := (total + loadChange - 1) / loadChange
	answered := func() (n int) {
		for _, e := range fake.Transcript() {
			if e.Kind == "hook" && e.Err == "" {
				n++
			}
		}
		return n
	}
	if err := waitFor(ctx, func() bool { return answered() >= total-changes }); err != nil {
		return fmt.Errorf("of %d reads, %d were answered: %w", total-changes, answered(), err)
	}
	cards := func() (begun, ended, told int) {
		for i := range loadChannels {
			for _, m := range fake.Messages(fmt.Sprintf("C0L%03d", i)) {
				switch {
				case m.Ephemeral():
				case m.ThreadTS != "":
					told++
				default:
					begun++
					if strings.Contains(m.Shown(), "is ready") {
						ended++
					}
				}
			}
		}
		return begun, ended, told
	}
	if err := waitFor(ctx, func() bool { _, ended, told := cards(); return ended >= changes && told >= changes }); err != nil {
		return fmt.Errorf("the cards did not come to their end: %w", err)
	}
	settled := time.Since(begun)

	stats := fake.Stats()
	sent, answers, twice := map[string]time.Time{}, []time.Duration{}, 0
	seen := map[string]bool{}
	for _, e := range fake.Transcript() {
		switch e.Kind {
		case "delivery":
			sent[e.Envelope] = e.At
		case "hook":
			if seen[e.Envelope] {
				twice++
			}
			seen[e.Envelope] = true
			answers = append(answers, e.At.Sub(sent[e.Envelope]))
		}
	}
	slices.Sort(answers)
	made, _, ends := cards()
	after, err := resident(cmd.Process.Pid, "VmRSS:")
	if err != nil {
		return err
	}
	fmt.Printf("Slack: %d commands in %.0f s (%d a second over %d channels), %d of them changes; stubs: branch checks and the work on servers\n", total, load.Seconds(), loadRate, loadChannels, changes)
	fmt.Printf("  acknowledged, at the stand-in: p50 %.1f ms, p99 %.1f ms, most %.1f ms; %d in time, %d late, %d not\n", ms(stats.Percentile(0.5)), ms(stats.Percentile(0.99)),
		ms(stats.Percentile(1)), stats.Acks, stats.LateAcks, refused.Load())
	fmt.Printf("  answered: p50 %.1f ms, p99 %.1f ms, most %.1f ms; %d of %d, %d twice\n", ms(at(answers, 0.5)), ms(at(answers, 0.99)), ms(at(answers, 1)), len(seen), total-changes, twice)
	fmt.Printf("  cards: %d of %d, %d ends told; all at their end %.0f s after the first command (Slack lets cards be edited 50 times a minute)\n", made, changes, ends, settled.Seconds())
	fmt.Printf("  calls too many (429): %d; Berth's memory: %d MB at most, %d MB afterwards\n", stats.RateLimited, peak>>20, after>>20)
	limit("Slack's acknowledgement (p99)", ms(stats.Percentile(0.99)), 100, "ms")
	if refused.Load() > 0 || stats.Acks != total || len(seen) != total-changes || twice > 0 || made != changes || ends != changes {
		return errors.New("something was lost or done twice")
	}
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// at is a percentile of what is sorted.
func at(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// waitFor looks twice a second.
func waitFor(ctx context.Context, cond func() bool) error {
	for !cond() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// loadCatalog is what the measured process serves.
var loadCatalog = &orchestrator.Catalog{
	Targets:    []orchestrator.Target{{Name: "local", Module: "local"}},
	Apps:       []orchestrator.App{{Name: "api", Branch: "main", Port: 8080}, {Name: "web", Branch: "main", Port: 8081, Needs: map[string]string{"API_URL": "api"}}},
	Blueprints: []orchestrator.Blueprint{{Name: "default", Apps: []string{"api", "web"}}},
	Policy: orchestrator.PolicySettings{Lifetime: 72 * time.Hour, MaxLifetime: 14 * 24 * time.Hour, Create: "all", Deploy: "all", Destroy: "own",
		Warnings: []time.Duration{24 * time.Hour}, Grace: 30 * time.Minute},
}

// stubs are what is not measured: the catalog's file, branch checks, the
// directory of people.
type stubs struct{}

func (stubs) Current() *orchestrator.Catalog { return loadCatalog }

func (stubs) Resolve(_ context.Context, _ orchestrator.App, ref string) (orchestrator.Resolved, error) {
	return orchestrator.Resolved{Branch: ref, Commit: strings.Repeat("ab", 20)}, nil
}

func (stubs) Person(_, email string) (orchestrator.Actor, bool) {
	return orchestrator.Actor{Name: strings.ToLower(email)}, false
}

func (stubs) SlackOf(name string) (string, string) { return "", name }

// slackDoor is the process that is measured; it ends with its input.
func slackDoor(told string) (err error) {
	var d door
	if err := json.Unmarshal([]byte(told), &d); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Path: d.Path})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, s.Close()) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var here *slack.Slack
	j, err := jobs.New(jobs.Options{DB: s.DB(), Logger: log, Workers: 8,
		Execute: func(ctx context.Context, id string) error { return succeed(ctx, s, id) },
		Deliver: func(ctx context.Context, key string) error { return here.Deliver(ctx, key) }})
	if err != nil {
		return err
	}
	s.SetEnqueue(j.Enqueue)
	s.SetEnqueueDelivery(j.EnqueueDelivery)
	now := func() time.Time { return time.Now().UTC() }
	var ids atomic.Int64
	service := &orchestrator.Service{Submitter: s, Environments: s, Live: s, Operations: s, Catalogs: stubs{}, Policy: policy.Rules{}, Checker: stubs{},
		Settings:  func(string) ([]byte, map[string]string, error) { return nil, nil, nil },
		Canonical: bot.Canonical, Now: now, NewID: func(prefix string) string { return fmt.Sprint(prefix, ids.Add(1)) }}
	if here, err = slack.New(slack.Options{BotToken: d.Bot, AppToken: d.App, APIURL: d.API, Doer: service, Inbox: s, Cards: s, Reader: s, Directory: stubs{},
		Catalog: stubs{}.Current, Now: now, Log: log,
		Branches: func(context.Context, string) ([]string, error) { return []string{"main"}, nil },
		Logs:     func(string, string, int) (string, error) { return "", nil }}); err != nil {
		return err
	}
	if err := j.Start(ctx); err != nil {
		return err
	}
	run, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); here.Run(run) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	grace, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = j.Stop(grace)
	end()
	<-ended
	return err
}

// succeed stands for the work on servers.
func succeed(ctx context.Context, s *store.Store, id string) error {
	op, err := s.Operation(ctx, id)
	if err != nil || op.Status.Ended() {
		return err
	}
	if err := s.Start(ctx, id, time.Now().UTC(), orchestrator.StatusCreating, nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
	}
	e, err := s.EnvironmentByID(ctx, op.EnvironmentID)
	if err != nil {
		return err
	}
	for _, v := range e.Servers {
		if _, err := s.UpdateServer(ctx, v.ID, func(v *orchestrator.Server) error {
			v.Status, v.Address = orchestrator.StatusReady, "127.0.0.1"
			return nil
		}); err != nil {
			return err
		}
	}
	return s.End(ctx, orchestrator.Ending{OperationID: id, Status: orchestrator.OperationSucceeded, At: time.Now().UTC(), Environment: orchestrator.StatusReady,
		Event: orchestrator.Event{OperationID: id, At: time.Now().UTC(), Step: "ready", Text: "ready"}})
}
