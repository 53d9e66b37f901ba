// pg-boss, through send, insert and work.

import { readFileSync } from 'node:fs'

import { PgBoss } from 'pg-boss'

import { CLIENTS, Meter, answer } from './protocol.mjs'

// https://pgboss.io/api/workers: by default a worker takes one job every two seconds. Jobs start at once only with
// LISTEN, which an instance and a queue have to ask for; `burstWhenBatchFull` fetches without a pause in a backlog.
const SETTINGS = {
  default: {},
  prompt: {},
  best: { batchSize: 500, burstWhenBatchFull: true }
}
const LISTENS = { default: false, prompt: true, best: true }

class Subject {
  meter = new Meter()
  switches = true
  #boss

  constructor (url) {
    this.url = url
  }

  /** Return an instance that has started; what it does when idle depends on whether it listens. */
  async boss (useListenNotify = false) {
    if (!this.#boss) {
      this.#boss = new PgBoss({ connectionString: this.url, max: CLIENTS, useListenNotify })
      this.#boss.on('error', (error) => { console.error(error); process.exit(1) })
      await this.#boss.start()
    }
    return this.#boss
  }

  async install () {
    const boss = await this.boss()
    await boss.createQueue('noop', { notify: true })
    await boss.createQueue('silent', { notify: false })
  }

  async enqueue (wake) {
    await (await this.boss()).send(wake ? 'noop' : 'silent', {})
  }

  async enqueueMany (jobs) {
    await (await this.boss()).insert('noop', Array.from({ length: jobs }, () => ({ data: {} })))
  }

  async work (settings) {
    const boss = await this.boss(LISTENS[settings])
    await boss.work('noop', SETTINGS[settings], async (jobs) => {
      for (const _ of jobs) await this.meter.handle()
    })
    return () => boss.stop({ graceful: true, timeout: 5000 })
  }
}

const { version } = JSON.parse(readFileSync(new URL('node_modules/pg-boss/package.json', import.meta.url)))
await answer(async (url) => new Subject(url), version)
