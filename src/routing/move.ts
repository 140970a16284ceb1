// A pin goes to another upstream: while it is fresh and its upstream fails, or when its upstream has left the fleet
// and the job may change (design 7). All requests of a job in this gateway share one move and wait for its end.

import { isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { MoveRequest, Pins } from '../store/store.ts'
import type { Agree } from './agree.ts'
import type { KnownPin, KnownPins } from './known-pins.ts'
import { pinLost } from './pin-refusals.ts'

type Parts = {
  readonly pins: Pick<Pins, 'move'>
  readonly known: KnownPins
  readonly agree: Agree
  /** Asked each time: a reload may change them. */
  readonly flexTypes: Pick<readonly string[], 'includes'>
  readonly events: Events
}

export type Mover = ReturnType<typeof makeMover>

export function makeMover({ pins, known, agree, flexTypes, events }: Parts) {
  async function move(pin: KnownPin, when: MoveRequest['when']): Promise<void> {
    pin.moving ??= moveInStore(pin, when).finally(() => {
      pin.moving = null
    })
    await pin.moving
  }

  async function moveInStore(pin: KnownPin, when: MoveRequest['when']): Promise<void> {
    const from = pin.upstreamId
    const answer = await ask(pin, from, when)
    if (answer.kind === 'gone') return known.forget(pin)
    known.moved(pin, answer.pin)
    if (answer.kind === 'kept') return
    const reason = when === 'fresh' ? 'fresh' : 'flex'
    events.emit('pin_moved', { job: pin.job, from, to: answer.pin.upstreamId, reason })
  }

  async function ask(pin: KnownPin, from: string, when: MoveRequest['when']) {
    try {
      return await agree(pin.job, pin.failed, (request) => pins.move({ ...request, from, when }))
    } catch (error) {
      // Whether it moved is known only where the store said that nobody is left. Else it must be asked again.
      if (!isGatewayError(error, 'no_upstream', 'overloaded')) known.forget(pin)
      throw error
    }
  }

  return {
    /** A fresh pin of ours, away from an upstream that failed. @throws GatewayError as `agree` */
    moveFresh: (pin: KnownPin): Promise<void> => move(pin, 'fresh'),

    /**
     * The job's upstream has left the fleet: fresh pins and `flex` jobs get another, `strict` jobs are told so.
     * @throws GatewayError pin_lost, and as `agree`
     */
    async replaceLost(pin: KnownPin): Promise<KnownPin> {
      const isFresh = pin.standing === 'own'
      if (isFresh || flexTypes.includes(pin.job.type ?? '')) {
        await move(pin, isFresh ? 'fresh' : 'lost')
        return pin
      }
      events.emit('pin_lost', { job: pin.job, upstream: pin.upstreamId })
      known.forget(pin)
      throw pinLost(pin.job, pin.upstreamId)
    },
  }
}
