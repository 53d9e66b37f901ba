// River, through Insert, InsertManyFast and a client that works: `river URL QUESTION N` prints one JSON object.
// One clock times the enqueueing call and the handler's start.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// There is no default number of workers: 100 is what https://riverqueue.com/docs has. A worker fetches once in 100 ms
// at most, unless FetchCooldown says otherwise; `best` is what `river bench` uses (https://riverqueue.com/docs/benchmarks).
var settings = map[string]river.Config{
	"default": {Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}}},
	"prompt": {
		FetchCooldown: river.FetchCooldownMin,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
	},
	"best": {
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
	},
}

type noArgs struct{}

func (noArgs) Kind() string { return "noop" }

// meter counts handlers as they start; it is the worker of every job.
type meter struct {
	river.WorkerDefaults[noArgs]
	hangs bool
	count atomic.Int64
	moved chan time.Time // when the newest handler began; holds one
}

func (m *meter) Work(ctx context.Context, _ *river.Job[noArgs]) error {
	began := time.Now()
	m.count.Add(1)
	select {
	case <-m.moved:
	default:
	}
	select {
	case m.moved <- began:
	default: // another handler told it meanwhile
	}
	if m.hangs {
		fmt.Println("started")
		<-ctx.Done()
	}
	return nil
}

// reach returns when so many have begun, and when the last of them did.
func (m *meter) reach(count int64) time.Time {
	for {
		if began := <-m.moved; m.count.Load() >= count {
			return began
		}
	}
}

type subject struct {
	pool   *pgxpool.Pool
	meter  *meter
	client *river.Client[pgx.Tx]
}

func (s *subject) use(ctx context.Context, name string) {
	config := settings[name]
	config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	config.Workers = river.NewWorkers()
	river.AddWorker(config.Workers, s.meter)
	s.client = need(river.NewClient(riverpgxv5.New(s.pool), &config))
	must(s.client.Start(ctx))
}

func (s *subject) enqueue(ctx context.Context) {
	need(s.client.Insert(ctx, noArgs{}, nil))
}

func (s *subject) enqueueMany(ctx context.Context, jobs int) {
	params := make([]river.InsertManyParams, jobs)
	for i := range params {
		params[i].Args = noArgs{}
	}
	need(s.client.InsertManyFast(ctx, params))
}

func (s *subject) install(ctx context.Context) any {
	migrator := need(rivermigrate.New(riverpgxv5.New(s.pool), nil))
	need(migrator.Migrate(ctx, rivermigrate.DirectionUp, nil))
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/riverqueue/river" {
				version = module.Version
			}
		}
	}
	return map[string]any{"version": version}
}

func main() {
	ctx := context.Background()
	config := need(pgxpool.ParseConfig(os.Args[1]))
	config.MaxConns = clients
	pool := need(pgxpool.NewWithConfig(ctx, config))
	s := &subject{pool: pool, meter: &meter{moved: make(chan time.Time, 1)}}
	// Enough to enqueue; what works on jobs has a client of its own.
	s.client = need(river.NewClient(riverpgxv5.New(pool), &river.Config{}))
	found := s.answer(ctx, os.Args[2], need(strconv.Atoi(os.Args[3])))
	must(json.NewEncoder(os.Stdout).Encode(found))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func need[T any](value T, err error) T {
	must(err)
	return value
}
