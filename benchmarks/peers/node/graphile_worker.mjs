// Graphile Worker, through makeWorkerUtils and run.

import { readFileSync } from 'node:fs'

import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import pg from 'pg'

import { CLIENTS, Meter, answer } from './protocol.mjs'

// https://worker.graphile.org/docs/performance: the configuration of its own figures.
const SETTINGS = {
  default: {},
  prompt: {},
  best: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0
  }
}
const quiet = new Logger(() => (level, message) => { if (level === 'error') console.error(message) })
const fail = (error) => { console.error(error); process.exit(1) }

/** Return a pool whose broken connections end the process. */
function makePool (url) {
  const pool = new pg.Pool({ connectionString: url, max: CLIENTS })
  return pool.on('error', fail).on('connect', (client) => client.on('error', fail))
}

/** One task. Adding a job wakes the workers; there is no switch for it. */
class Subject {
  meter = new Meter()
  switches = false
  #utils

  constructor (url) {
    this.url = url
  }

  async utils () {
    this.#utils ??= makeWorkerUtils({ pgPool: makePool(this.url), logger: quiet })
    return this.#utils
  }

  async install () {
    await (await this.utils()).migrate()
  }

  async enqueue () {
    await (await this.utils()).addJob('noop', {})
  }

  async enqueueMany (jobs) {
    await (await this.utils()).addJobs(Array.from({ length: jobs }, () => ({ identifier: 'noop', payload: {} })))
  }

  async work (settings) {
    const worker = { connectionString: this.url, logger: quiet, ...SETTINGS[settings] }
    const runner = await run({ preset: { worker }, noHandleSignals: true, taskList: { noop: () => this.meter.handle() } })
    runner.promise.catch(fail)
    return () => runner.stop()
  }
}

const { version } = JSON.parse(readFileSync(new URL('node_modules/graphile-worker/package.json', import.meta.url)))
await answer(async (url) => new Subject(url), version)
