// Calls over one connection, each of them bounded: in time, in number, and by a breaker. Every failure of the driver
// becomes `store_unavailable` here, once.

import { startDeadline } from '../../deadline.ts'
import { GatewayError } from '../../errors.ts'
import { makeBreaker } from './breaker.ts'
import type { Connection } from './connection.ts'
import { isAnswer, storeUnavailable, unavailable } from './failure.ts'

export type Line = {
  /** @throws GatewayError store_unavailable */
  ask<T>(send: (call: Call) => Promise<T>): Promise<T>
  /** Calls whose commands are not answered yet, those that gave up waiting included. */
  readonly outstanding: number
}

export type Call = {
  /** The caller was told that it took too long: what is not sent yet need not be. */
  isOver: boolean
}

type LineOptions = {
  readonly connection: Connection
  /** One call, whatever it takes inside. */
  readonly commandTimeoutMs: number
  /** Takes secrets out of a text. */
  readonly hide: (text: string) => string
}

/** More than that could not be answered in time anyway; they would only hold memory. */
export const maxOutstanding = 4096

export function makeLine({ connection, commandTimeoutMs, hide }: LineOptions): Line {
  const breaker = makeBreaker(() => performance.now())
  let outstanding = 0
  connection.onReady(breaker.lookAgain)

  /** Nothing was heard since: whatever else is outstanding or follows would wait for nothing too. */
  function dropIfSilent(number: number, bytesRead: number): void {
    if (connection.isReady && connection.number === number && connection.bytesRead === bytesRead)
      connection.drop()
  }

  return {
    ask<T>(send: (call: Call) => Promise<T>): Promise<T> {
      if (!connection.isReady) return Promise.reject(storeUnavailable(connection.lostBy, hide))
      if (outstanding >= maxOutstanding) return Promise.reject(unavailable('too many calls wait for it'))
      const entered = breaker.enter()
      if (entered === null) return Promise.reject(unavailable('it is too slow'))

      const { promise, resolve, reject } = Promise.withResolvers<T>()
      const { number, bytesRead } = connection
      const call: Call = { isOver: false }
      outstanding += 1
      const cancelDeadline = startDeadline(commandTimeoutMs, () => {
        call.isOver = true
        entered.timedOut()
        reject(unavailable('it does not answer in time'))
        dropIfSilent(number, bytesRead)
      })
      function settled(): void {
        outstanding -= 1
        cancelDeadline()
      }
      // An async function, so that what `send` throws at once ends here as well.
      const sent = (async () => send(call))()
      sent.then(
        (value) => {
          settled()
          if (!call.isOver) entered.answered()
          resolve(value)
        },
        (error: unknown) => {
          settled()
          if (!call.isOver) entered[isAnswer(error) ? 'answered' : 'lost']()
          reject(error instanceof GatewayError ? error : storeUnavailable(connection.lostBy ?? error, hide))
        },
      )
      return promise
    },

    get outstanding() {
      return outstanding
    },
  }
}
