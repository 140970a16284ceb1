// Hears one channel of Redis, on a connection of its own: one that subscribes can do nothing else.

import { startDeadline } from '../../deadline.ts'
import { openConnection, type RedisServers } from './connection.ts'

export type SubscriberOptions = {
  readonly servers: RedisServers
  /** Of the fleet. In a Cluster it is heard at the node that has the fleet's keys, though all nodes would tell it. */
  readonly channel: string
  readonly commandTimeoutMs: number
  /** After each subscription, the first and those after a loss: what was published in between was not heard. */
  readonly onSubscribed: () => void
  /** Once for each `onSubscribed`, when that subscription breaks. */
  readonly onLost: () => void
  readonly onMessage: (text: string) => void
}

export type Subscriber = { close(): Promise<void> }

/** Silence is normal here, so only an answer can tell that the other side is there. */
const pingEveryMs = 2000

/**
 * Tries until it is closed, also where Redis is down at first, and says nothing of its failures: the commands' connection does.
 * @throws TypeError where the URL is not one
 */
export function openSubscriber({
  servers,
  channel,
  commandTimeoutMs,
  onSubscribed,
  onLost,
  onMessage,
}: SubscriberOptions): Subscriber {
  const connection = openConnection({ servers, key: channel, commandTimeoutMs })
  const { redis } = connection
  let isSubscribed = false
  let nextPing: NodeJS.Timeout | undefined

  /** An error is an answer too; without one the connection is given up. */
  async function answers(command: () => Promise<unknown>): Promise<boolean> {
    const cancel = startDeadline(4 * commandTimeoutMs, () => connection.drop())
    return command()
      .then(
        () => true,
        () => false,
      )
      .finally(cancel)
  }

  connection.onReady(() => void subscribe())
  redis.on('close', lost)
  redis.on('message', (_channel: string, text: string) => onMessage(text))

  async function subscribe(): Promise<void> {
    // Where we may not, touches tell the others' pins all the same, later.
    if (!(await answers(() => redis.subscribe(channel)))) return
    isSubscribed = true
    onSubscribed()
    ping()
  }

  function ping(): void {
    nextPing = setTimeout(() => {
      void answers(() => redis.ping()).then((answered) => answered && isSubscribed && ping())
    }, pingEveryMs)
  }

  function lost(): void {
    clearTimeout(nextPing)
    if (!isSubscribed) return
    isSubscribed = false
    onLost()
  }

  return { close: () => connection.close() }
}
