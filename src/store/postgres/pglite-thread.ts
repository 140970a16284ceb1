// The side of us towards PGlite's thread: requests and answers, and what is left when it ends.

import { Worker } from 'node:worker_threads'
import type { ControlError } from '../../errors.ts'
import { databaseUnavailable } from './failure.ts'
import type { WorkerAnswer, WorkerMessage, WorkerRequest } from './pglite-worker.ts'

export type PgliteThread = {
  /** @throws ControlError database_unavailable where it could not start */
  readonly started: Promise<void>
  /** @throws ControlError database_unavailable where the thread has ended */
  ask(request: Question): Promise<WorkerAnswer>
  /** Ends it for a reason that all who call are told. */
  giveUp(reason: string): void
  /** At once, whatever it does. */
  end(): Promise<void>
}

/** A request without its number. */
export type Question = WorkerRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

/** For its last words to be complete. */
const lastWordsMs = 100

type Open = { resolve(answer: WorkerAnswer): void; reject(error: ControlError): void }

export function startThread(folder: string): PgliteThread {
  const file = new URL('pglite-worker.ts', import.meta.url)
  // Options of the program, such as `--input-type`, may make no sense there.
  const worker = new Worker(file, { workerData: { folder }, execArgv: [] })
  const open = new Map<number, Open>()
  const { promise: started, resolve: hasStarted, reject: cannotStart } = Promise.withResolvers<void>()
  started.catch(() => {})
  let ended: ControlError | null = null
  let lastId = 0
  let lastWords = ''

  function giveUp(reason: string): void {
    ended ??= databaseUnavailable(`the embedded database has failed (${reason}); start Lanekeeper again`)
    cannotStart(ended)
    for (const { reject } of open.values()) reject(ended)
    open.clear()
    void worker.terminate()
  }

  worker.on('message', (message: WorkerMessage) => {
    if (message === 'started') return hasStarted()
    if ('lastWords' in message) return noteLastWords(message.lastWords)
    open.get(message.id)?.resolve(message)
    open.delete(message.id)
    // Only open calls keep the process alive.
    if (open.size === 0) worker.unref()
  })
  worker.on('error', (error: unknown) => giveUp(error instanceof Error ? error.message : String(error)))
  worker.on('exit', () => giveUp('its thread has ended'))

  function noteLastWords(words: string): void {
    if (lastWords === '') setTimeout(() => giveUp(lastWords), lastWordsMs)
    lastWords = words
  }

  worker.unref()

  return {
    started,

    ask(question) {
      if (ended !== null) return Promise.reject(ended)
      const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer>()
      const id = (lastId += 1)
      open.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ ...question, id })
      return promise
    },

    giveUp,

    async end() {
      await worker.terminate()
    },
  }
}
