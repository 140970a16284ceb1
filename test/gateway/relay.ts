import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { relay } from '../../src/gateway/relay.ts'
import { pseudoRandomBytes, pseudoRandomSha256 } from '../fixtures/pseudo-random.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { socketPair } from '../fixtures/socket-pair.ts'
import { links } from '../fixtures/tls/links.ts'
import { tlsPair } from '../fixtures/tls/pair.ts'
import { until } from '../fixtures/until.ts'

/** What the kernel takes on loopback without anybody reading is well below this. */
const more = 32 * 1024 * 1024

async function join(t: Test, link: keyof typeof links) {
  const toClient = await links[link]()
  t.teardown(toClient.close)
  const toUpstream = await socketPair()
  t.teardown(toUpstream.close)
  const resetBy = {
    client: () => void toClient.tcp.far.resetAndDestroy(),
    upstream: () => void toUpstream.far.resetAndDestroy(),
  }
  const client: Socket = toClient.far
  const near: Socket = toClient.near
  return { client, near, upstream: toUpstream.far, away: toUpstream.near, resetBy }
}

/** Resolves to the error's code; a socket that is not read from never hears of a reset. */
async function resetOf(socket: Socket): Promise<string | undefined> {
  socket.resume()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  return error.code
}

for (const link of ['TCP', 'TLS'] as const) {
  t.test(`to a client over ${link}`, async (t) => {
    const setUp = (t: Test) => join(t, link)

    t.test('bytes go both ways, whole and in order', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      const { ended } = relay(near, away, [])
      client.write(pseudoRandomBytes(1_000_003))
      upstream.write(pseudoRandomBytes(700_001))
      const [up, down] = await Promise.all([readBytes(upstream, 1_000_003), readBytes(client, 700_001)])
      t.ok(up.equals(pseudoRandomBytes(1_000_003)))
      t.ok(down.equals(pseudoRandomBytes(700_001)))
      client.end()
      upstream.end()
      t.match(await ended, { bytesUp: 1_000_003, bytesDown: 700_001 })
      t.ok(near.destroyed && away.destroyed, 'nothing is left open')
    })

    t.test('early bytes come first', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      near.pause()
      client.write(' and the rest')
      await until('the rest has come', () => near.readableLength > 0 || near.bytesRead > 0)
      const { ended } = relay(near, away, [Buffer.from('tls '), Buffer.from('hello')])
      client.end(', in the end')
      t.equal((await readToEnd(upstream)).toString(), 'tls hello and the rest, in the end')
      upstream.end()
      t.match(await ended, { bytesUp: 34, bytesDown: 0, endedBy: 'client' })
    })

    t.test('bytes of the client that wait on its socket are counted', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      near.pause()
      near.read(0)
      client.write('waiting')
      await until('they wait', () => near.readableLength === 7)
      const { ended } = relay(near, away, [])
      client.end()
      t.equal((await readToEnd(upstream)).toString(), 'waiting')
      upstream.end()
      t.match(await ended, { bytesUp: 7 })
    })

    t.test('bytes put back on the upstream socket come first, and are counted', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      upstream.write('HEAD banner')
      const [reply] = (await once(away, 'data')) as [Buffer]
      away.pause()
      away.unshift(reply.subarray(5))
      const { ended } = relay(near, away, [])
      upstream.end(', more')
      t.equal((await readToEnd(client)).toString(), 'banner, more')
      client.end()
      t.match(await ended, { bytesUp: 0, bytesDown: 12, endedBy: 'upstream' })
    })

    t.test(
      'a half-close is passed on behind the bytes before it, and the other way stays open',
      async (t) => {
        for (const first of ['client', 'upstream'] as const) {
          t.test(`the ${first} ends first`, async (t) => {
            const { client, near, upstream, away } = await setUp(t)
            const { ended } = relay(near, away, [])
            const [ending, staying] = first === 'client' ? [client, upstream] : [upstream, client]
            ending.end(pseudoRandomBytes(3_000_000))
            t.ok((await readToEnd(staying)).equals(pseudoRandomBytes(3_000_000)))
            staying.write('late')
            t.equal((await readBytes(ending, 4)).toString(), 'late')
            staying.end()
            t.equal((await readToEnd(ending)).length, 0)
            const counts = first === 'client' ? [3_000_000, 4] : [4, 3_000_000]
            t.strictSame(await ended, { bytesUp: counts[0], bytesDown: counts[1], endedBy: first })
          })
        }
      },
    )

    t.test('a slow reader gets everything before the end', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      relay(near, away, [])
      upstream.pause()
      client.end(pseudoRandomBytes(more))
      await until('the relay is full', () => away.writableNeedDrain)
      t.ok((await readToEnd(upstream)).equals(pseudoRandomBytes(more)))
    })

    t.test('a reset stays a reset', async (t) => {
      for (const first of ['client', 'upstream'] as const) {
        t.test(`of the ${first}`, async (t) => {
          const { client, near, upstream, away, resetBy } = await setUp(t)
          const { ended } = relay(near, away, [])
          client.write('up')
          upstream.write('down')
          await Promise.all([readBytes(upstream, 2), readBytes(client, 4)])
          const other = first === 'client' ? upstream : client
          resetBy[first]()
          t.equal(await resetOf(other), 'ECONNRESET')
          t.match(await ended, { bytesUp: 2, bytesDown: 4, endedBy: `${first}_reset` })
          t.ok(near.destroyed && away.destroyed)
        })

        t.test(`of the ${first}, when the other had ended already`, async (t) => {
          const { client, near, upstream, away, resetBy } = await setUp(t)
          const { ended } = relay(near, away, [])
          const [resetting, other] = first === 'client' ? [client, upstream] : [upstream, client]
          other.end()
          await readToEnd(resetting)
          resetBy[first]()
          t.equal(await resetOf(other), 'ECONNRESET')
          t.match(await ended, { endedBy: first === 'client' ? 'upstream' : 'client' })
        })
      }
    })

    t.test('a client that goes away after its end does not take its bytes with it', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      upstream.pause()
      const { ended } = relay(near, away, [pseudoRandomBytes(more)])
      client.end()
      await until('its end was heard', () => near.readableEnded)
      client.destroy()
      // It hears nothing more, which the relay finds out by writing to it.
      await until('the relay finds it gone', () => upstream.write('x') && near.destroyed)
      const received = await readToEnd(upstream)
      t.equal(createHash('sha256').update(received).digest('hex'), pseudoRandomSha256(more))
      t.match(await ended, { bytesUp: more, endedBy: 'client' })
    })

    t.test('a slow reader slows the writer down; memory stays bounded', async (t) => {
      for (const way of ['up', 'down'] as const) {
        t.test(way, async (t) => {
          const { client, near, upstream, away } = await setUp(t)
          relay(near, away, [])
          const [writer, from, to, reader] =
            way === 'up' ? [client, near, away, upstream] : [upstream, away, near, client]
          const buffered = () => from.readableLength + to.writableLength
          reader.pause()
          writer.end(pseudoRandomBytes(more))
          await until('the relay is full', () => to.writableNeedDrain && from.isPaused())
          t.ok(buffered() < 512 * 1024, `${buffered()} bytes are held`)
          t.ok(writer.writableLength > 0, 'the writer has to wait')
          let most = 0
          const hash = createHash('sha256')
          reader.on('data', (chunk: Buffer) => {
            hash.update(chunk)
            most = Math.max(most, buffered())
          })
          reader.resume()
          await once(reader, 'end')
          t.ok(most < 512 * 1024, `${most} bytes were held`)
          t.equal(hash.digest('hex'), pseudoRandomSha256(more))
        })
      }
    })

    t.test('one way full does not stop the other', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      relay(near, away, [])
      upstream.pause()
      client.write(pseudoRandomBytes(more))
      await until('the way up is full', () => away.writableNeedDrain)
      upstream.write('still here')
      t.equal((await readBytes(client, 10)).toString(), 'still here')
    })

    t.test('bytes() changes with each byte that moves, either way', async (t) => {
      const { client, near, upstream, away } = await setUp(t)
      const joined = relay(near, away, [])
      const seen = [joined.bytes()]
      client.write('a')
      await readBytes(upstream, 1)
      seen.push(joined.bytes())
      upstream.write('b')
      await readBytes(client, 1)
      seen.push(joined.bytes())
      t.ok(seen[0]! < seen[1]! && seen[1]! < seen[2]!, seen.join(' < '))
    })

    t.test('closing', async (t) => {
      t.test('an idle tunnel ends both sides in good order, and says why', async (t) => {
        const { client, near, upstream, away } = await setUp(t)
        const joined = relay(near, away, [])
        joined.close('idle')
        t.equal((await readToEnd(client)).length, 0)
        t.equal((await readToEnd(upstream)).length, 0)
        t.strictSame(await joined.ended, { bytesUp: 0, bytesDown: 0, endedBy: 'idle' })
      })

      for (const why of ['life', 'stop', 'drained'] as const) {
        t.test(
          `a busy tunnel (${why}) resets both sides: an end would look like the other side's own`,
          async (t) => {
            const { client, near, upstream, away } = await setUp(t)
            const joined = relay(near, away, [])
            upstream.write('half an answ')
            await readBytes(client, 12)
            joined.close(why)
            t.strictSame(await Promise.all([resetOf(client), resetOf(upstream)]), [
              'ECONNRESET',
              'ECONNRESET',
            ])
            t.match(await joined.ended, { bytesDown: 12, endedBy: why })
          },
        )
      }

      t.test('a side whose end was passed on already ends in good order', async (t) => {
        const { client, near, upstream, away } = await setUp(t)
        const joined = relay(near, away, [])
        upstream.end('whole')
        t.equal((await readToEnd(client)).toString(), 'whole')
        let reset = false
        client.on('error', () => (reset = true))
        joined.close('stop')
        t.equal(await resetOf(upstream), 'ECONNRESET', 'what the client may still have said is cut')
        await joined.ended
        t.notOk(reset)
      })

      t.test('undelivered bytes make it a reset', async (t) => {
        const { client, near, upstream, away } = await setUp(t)
        const joined = relay(near, away, [])
        client.pause()
        upstream.write(pseudoRandomBytes(more))
        await until('the way down is full', () => near.writableNeedDrain)
        joined.close('idle')
        t.equal(await resetOf(client), 'ECONNRESET')
        t.match(await joined.ended, { endedBy: 'idle' })
      })

      t.test('the first reason stands', async (t) => {
        const { near, away } = await setUp(t)
        const joined = relay(near, away, [])
        joined.close('life')
        joined.close('stop')
        t.match(await joined.ended, { endedBy: 'life' })
      })
    })

    t.test('a side that is gone at the start resets the other', async (t) => {
      for (const gone of ['client', 'upstream'] as const) {
        t.test(gone, async (t) => {
          const { client, near, upstream, away } = await setUp(t)
          const [lost, other] = gone === 'client' ? [near, upstream] : [away, client]
          lost.destroy()
          const { ended } = relay(near, away, [Buffer.from('early')])
          t.equal(await resetOf(other), 'ECONNRESET')
          t.match(await ended, { endedBy: `${gone}_reset` })
        })
      }
    })

    t.test('a side that had ended before the start', async (t) => {
      for (const first of ['client', 'upstream'] as const) {
        t.test(first, async (t) => {
          const { client, near, upstream, away } = await setUp(t)
          const [ending, its, staying] =
            first === 'client' ? [client, near, upstream] : [upstream, away, client]
          ending.end()
          its.resume()
          await once(its, 'end')
          const early = first === 'client' ? [Buffer.from('early')] : []
          const { ended } = relay(near, away, early)
          t.equal((await readToEnd(staying)).toString(), first === 'client' ? 'early' : '')
          staying.end('answer')
          t.equal((await readToEnd(ending)).toString(), 'answer')
          t.match(await ended, { endedBy: first })
        })
      }
    })
  })
}

t.test('an idle tunnel says close_notify to a client over TLS', async (t) => {
  const toClient = await tlsPair()
  t.teardown(toClient.close)
  const toUpstream = await socketPair()
  t.teardown(toUpstream.close)
  const joined = relay(toClient.near, toUpstream.near, [])
  const written = () => toClient.tcp.near.bytesWritten
  const before = written()
  joined.close('idle')
  await joined.ended
  // An alert of TLS 1.3: a head of 5 bytes, 2 of alert, 1 of type and 16 of seal.
  t.equal(written() - before, 24)
})
