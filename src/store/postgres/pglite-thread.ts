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
  /** At once, whatever it does. */
  end(): Promise<void>
}

/** A request without its number. */
export type Question = WorkerRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

type Open = { resolve(answer: WorkerAnswer): void; reject(error: ControlError): void }

export function startThread(folder: string): PgliteThread {
  const worker = new Worker(new URL('pglite-worker.ts', import.meta.url), { workerData: { folder } })
  const open = new Map<number, Open>()
  const { promise: started, resolve: hasStarted, reject: cannotStart } = Promise.withResolvers<void>()
  started.catch(() => {})
  let ended: ControlError | null = null
  let lastId = 0

  function fail(reason: string): void {
    ended ??= databaseUnavailable(reason)
    cannotStart(ended)
    for (const { reject } of open.values()) reject(ended)
    open.clear()
  }

  worker.on('message', (message: WorkerMessage) => {
    if (message === 'started') return hasStarted()
    open.get(message.id)?.resolve(message)
    open.delete(message.id)
    // Only open calls keep the process alive.
    if (open.size === 0) worker.unref()
  })
  worker.on('error', (error: unknown) => {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    fail(`the embedded database has failed (${what}); start Lanekeeper again`)
  })
  worker.on('exit', () => fail('the embedded database has ended; start Lanekeeper again'))
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

    async end() {
      worker.ref()
      await worker.terminate()
    },
  }
}
