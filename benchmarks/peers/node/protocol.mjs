// What every queue is asked, as in queue_protocol.py, which says what each question means:
// `node ADAPTER.mjs URL QUESTION N` prints one JSON object. One clock times the enqueueing call and the handler's start.

import { setTimeout as sleep } from 'node:timers/promises'

export const CLIENTS = 32
const WARM_UPS = 5
const PAUSE_MS = 50
const SETTLE_MS = 2000
const BATCH = 1000
const WARM_UP_MS = 500
const ROUNDS = [true, false, false, true, false, true, true, false]

const say = (word) => process.stdout.write(word + '\n')
const now = () => performance.now()

/** Counts handlers as they start; `handle` is the whole handler of every job. */
export class Meter {
  count = 0
  atMs = 0
  hangs = false
  #wanted = Infinity
  #reached = () => {}

  async handle () {
    this.count += 1
    this.atMs = now()
    if (this.count >= this.#wanted) this.#reached()
    if (this.hangs) {
      say('started')
      await new Promise(() => {})
    }
  }

  async reach (count) {
    if (this.count >= count) return
    await new Promise((resolve) => { this.#wanted = count; this.#reached = resolve })
    this.#wanted = Infinity
  }
}

/** Run `body` while one worker works; `subject.work(settings)` returns how to stop it. */
async function working (subject, settings, body) {
  const stop = await subject.work(settings)
  try {
    return await body()
  } finally {
    await stop()
  }
}

async function latency (subject, samples) {
  const waits = []
  await working(subject, 'prompt', async () => {
    await sleep(SETTLE_MS)
    for (let sample = 0; sample < WARM_UPS + samples; sample++) {
      const wanted = subject.meter.count + 1
      const sent = now()
      await subject.enqueue(true)
      await subject.meter.reach(wanted)
      waits.push(subject.meter.atMs - sent)
      await sleep(PAUSE_MS)
    }
  })
  return { waits_ms: waits.slice(WARM_UPS) }
}

async function fill (subject, jobs) {
  for (let start = 0; start < jobs; start += BATCH) await subject.enqueueMany(Math.min(BATCH, jobs - start))
  return {}
}

const drain = (settings) => async (subject, jobs) => {
  const began = now()
  return working(subject, settings, async () => {
    await subject.meter.reach(jobs)
    const seconds = (subject.meter.atMs - began) / 1000
    await sleep(SETTLE_MS)
    return { seconds }
  })
}

async function sustain (subject, seconds) {
  const done = []
  await working(subject, 'best', async () => {
    await subject.enqueueMany(BATCH)
    await subject.meter.reach(BATCH)
    let sent = BATCH
    for (let second = 0; second < seconds; second++) {
      const until = now() + 1000
      const before = subject.meter.count
      while (now() < until) {
        if (sent - subject.meter.count < 2 * BATCH) {
          await subject.enqueueMany(BATCH)
          sent += BATCH
        } else {
          await sleep(5)
        }
      }
      done.push(subject.meter.count - before)
    }
  })
  return { done_per_s: done }
}

async function enqueueFor (subject, milliseconds, wake) {
  const began = now()
  let jobs = 0
  const client = async () => {
    while (now() - began < milliseconds) {
      await subject.enqueue(wake)
      jobs += 1
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return jobs / ((now() - began) / 1000)
}

async function enqueue (subject, roundMs) {
  const rates = { waking: [], silent: [] }
  await enqueueFor(subject, WARM_UP_MS, true)
  for (const wake of ROUNDS) {
    if (wake || subject.switches) rates[wake ? 'waking' : 'silent'].push(await enqueueFor(subject, roundMs, wake))
  }
  return rates
}

async function idle (subject, seconds) {
  await working(subject, 'prompt', async () => {
    await sleep(SETTLE_MS)
    say('settled')
    await sleep(seconds * 1000)
  })
  return {}
}

async function hang (subject, jobs) {
  subject.meter.hangs = true
  await subject.work('prompt')
  if (jobs) {
    await subject.enqueue(true)
  } else {
    await sleep(SETTLE_MS)
    say('waiting')
  }
  await sleep(3_600_000)
  return {}
}

const install = (subject, _, version) => subject.install().then(() => ({ version }))
const QUESTIONS = {
  install, latency, fill, drain_default: drain('default'), drain_best: drain('best'), sustain, enqueue, idle, hang
}

/** Answer the question on the command line; whatever breaks ends the process. */
export async function answer (open, version) {
  const [url, question, number] = process.argv.slice(2)
  const subject = await open(url)
  const found = await QUESTIONS[question](subject, Number(number), version)
  process.stdout.write(JSON.stringify(found) + '\n', () => process.exit(0))
}
