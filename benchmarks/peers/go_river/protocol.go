package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// What every queue is asked, as in queue_protocol.py, which says what each question means.

const (
	clients = 32
	rounds  = 4 // there is no switch for wake-ups, so all rounds have them
	batch   = 1000
	warmUps = 5
	pause   = 50 * time.Millisecond
	settle  = 2 * time.Second
	warmUp  = 500 * time.Millisecond
)

func (s *subject) latency(ctx context.Context, samples int) any {
	s.use(ctx, "prompt")
	time.Sleep(settle)
	waits := make([]float64, warmUps+samples)
	for i := range waits {
		sent := time.Now()
		s.enqueue(ctx)
		waits[i] = s.meter.reach(int64(i+1)).Sub(sent).Seconds() * 1000
		time.Sleep(pause)
	}
	return map[string]any{"waits_ms": waits[warmUps:]}
}

func (s *subject) fill(ctx context.Context, jobs int) any {
	for start := 0; start < jobs; start += batch {
		s.enqueueMany(ctx, min(batch, jobs-start))
	}
	return map[string]any{}
}

func (s *subject) drain(ctx context.Context, jobs int, settings string) any {
	began := time.Now()
	s.use(ctx, settings)
	seconds := s.meter.reach(int64(jobs)).Sub(began).Seconds()
	time.Sleep(settle)
	return map[string]any{"seconds": seconds}
}

func (s *subject) sustain(ctx context.Context, seconds int) any {
	s.use(ctx, "best")
	s.enqueueMany(ctx, batch)
	s.meter.reach(batch)
	sent := int64(batch)
	done := make([]int64, seconds)
	for i := range done {
		until, before := time.Now().Add(time.Second), s.meter.count.Load()
		for time.Now().Before(until) {
			if sent-s.meter.count.Load() < 2*batch {
				s.enqueueMany(ctx, batch)
				sent += batch
			} else {
				time.Sleep(5 * time.Millisecond)
			}
		}
		done[i] = s.meter.count.Load() - before
	}
	return map[string]any{"done_per_s": done}
}

func (s *subject) enqueueRates(ctx context.Context, roundMs int) any {
	s.enqueueFor(ctx, warmUp)
	rates := make([]float64, rounds)
	for i := range rates {
		rates[i] = s.enqueueFor(ctx, time.Duration(roundMs)*time.Millisecond)
	}
	return map[string]any{"waking": rates, "silent": []float64{}}
}

func (s *subject) enqueueFor(ctx context.Context, length time.Duration) float64 {
	var jobs atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range clients {
		all.Go(func() {
			for time.Since(began) < length {
				s.enqueue(ctx)
				jobs.Add(1)
			}
		})
	}
	all.Wait()
	return float64(jobs.Load()) / time.Since(began).Seconds()
}

func (s *subject) idle(ctx context.Context, seconds int) any {
	s.use(ctx, "prompt")
	time.Sleep(settle)
	fmt.Println("settled")
	time.Sleep(time.Duration(seconds) * time.Second)
	return map[string]any{}
}

func (s *subject) hang(ctx context.Context, jobs int) any {
	s.meter.hangs = true
	s.use(ctx, "prompt")
	if jobs > 0 {
		s.enqueue(ctx)
	} else {
		time.Sleep(settle)
		fmt.Println("waiting")
	}
	select {}
}

func (s *subject) answer(ctx context.Context, question string, number int) any {
	switch question {
	case "install":
		return s.install(ctx)
	case "latency":
		return s.latency(ctx, number)
	case "fill":
		return s.fill(ctx, number)
	case "drain_default":
		return s.drain(ctx, number, "default")
	case "drain_best":
		return s.drain(ctx, number, "best")
	case "sustain":
		return s.sustain(ctx, number)
	case "enqueue":
		return s.enqueueRates(ctx, number)
	case "idle":
		return s.idle(ctx, number)
	case "hang":
		return s.hang(ctx, number)
	}
	panic("not a question: " + question)
}
