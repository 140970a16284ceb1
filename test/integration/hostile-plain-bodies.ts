// Section 2.4 (E) of the hostile inputs through the real listener: how the bodies of plain http:// requests are framed, who
// waits for whom, and what is under way at a time. Heads: hostile-plain-http. Elsewhere: what a client sees of bad answers (E26:
// hostile-answers), a CONNECT behind a request (hostile-heads), downloads that nobody reads (slow-readers), any
// request at all (smuggling).

import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startHostile, type Hostile, type Refusal } from '../fixtures/hostile.ts'
import {
  identity,
  reaches,
  refuseAll,
  request,
  roundTrip,
  startPlain,
  url,
  type Wanted,
} from '../fixtures/plain-world.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { established, type Script } from '../fixtures/scripted-upstream.ts'
import { readRequest } from '../fixtures/strict-origin.ts'
import { until } from '../fixtures/until.ts'

t.test('E6, E7, E8, E9: how a body is framed', async (t) => {
  const world = await startPlain(t)
  const body = '3\r\nabc\r\n0\r\n\r\n'
  const chunked = 'Transfer-Encoding: chunked\r\n'
  const post = (headers: string, version = '1.1') => request(headers, { method: 'POST', body, version })
  const unknown: Refusal = { status: 501, code: 'bad_request' }
  const lengths = [
    '3, 3',
    '3,4',
    '+3',
    '-1',
    '-0',
    '0x3',
    '3 3',
    '',
    ' ',
    ',3',
    '3,',
    '3;',
    '3.0',
    '3e0',
    "3'",
    '\xb2',
  ]
  await refuseAll(t, world, [
    ['E6: a length, then chunks', post(`Content-Length: 3\r\n${chunked}`)],
    ['E6: chunks, then a length', post(`${chunked}Content-Length: 3\r\n`)],
    ['E6: chunks and no length', post(`Content-Length: 0\r\n${chunked}`)],
    ['E6: two lengths', post('Content-Length: 3\r\nContent-Length: 4\r\n')],
    ['E6: the same length twice', post('Content-Length: 3\r\ncontent-length: 3\r\n')],
    ['E6: far apart', post(`Content-Length: 3\r\n${'X-A: b\r\n'.repeat(50)}Content-Length: 3\r\n`)],
    ...lengths.map(
      (length) => [`E6: a length of "${length}"`, post(`Content-Length: ${length}\r\n`)] as const,
    ),
    ['E6: 20 digits', post('Content-Length: 99999999999999999999\r\n')],
    ['E6: 2 to the 64th', post('Content-Length: 18446744073709551616\r\n')],
    ['E6: a space before the colon', post('Content-Length : 3\r\n')],
    ['E6: on the next line', post('Content-Length:\r\n 3\r\n')],
    ['E7: xchunked', post('Transfer-Encoding: xchunked\r\n'), unknown],
    ['E7: chunked,', post('Transfer-Encoding: chunked,\r\n')],
    ['E7: ,chunked', post('Transfer-Encoding: ,chunked\r\n'), unknown],
    ['E7: chunked, identity', post('Transfer-Encoding: chunked, identity\r\n')],
    ['E7: identity', post('Transfer-Encoding: identity\r\n'), unknown],
    ['E7: identity, chunked', post('Transfer-Encoding: identity, chunked\r\n'), unknown],
    ['E7: chunked, chunked', post('Transfer-Encoding: chunked, chunked\r\n')],
    ['E7: two lines', post(`${chunked}${chunked}`)],
    ['E7: two lines, the second empty', post(`${chunked}Transfer-Encoding:\r\n`)],
    ['E7: two lines, identity first', post(`Transfer-Encoding: identity\r\n${chunked}`), unknown],
    ['E7: an empty one', post('Transfer-Encoding:\r\n')],
    ['E7: VT before it', post('Transfer-Encoding: \x0bchunked\r\n')],
    ['E7: FF behind it', post('Transfer-Encoding: chunked\x0c\r\n')],
    ['E7: NUL behind it', post('Transfer-Encoding: chunked\0\r\n')],
    ['E7: quoted', post('Transfer-Encoding: "chunked"\r\n'), unknown],
    ['E7: with a parameter', post('Transfer-Encoding: chunked;q=1\r\n'), unknown],
    ['E7: on the next line', post('Transfer-Encoding:\r\n chunked\r\n')],
    ['E7: a space before the colon', post('Transfer-Encoding : chunked\r\n')],
    ['E7: a tab before the colon', post('Transfer-Encoding\t: chunked\r\n')],
    ['E8: gzip, chunked', post('Transfer-Encoding: gzip, chunked\r\n'), unknown],
    ['E8: gzip', post('Transfer-Encoding: gzip\r\n'), unknown],
    ['E8: deflate and chunked on two lines', post(`Transfer-Encoding: deflate\r\n${chunked}`), unknown],
    ['E9: HTTP/1.0', post(chunked, '1.0')],
    ['E9: HTTP/1.0 that would stay', post(`Connection: keep-alive\r\n${chunked}`, '1.0')],
    ['E9: HTTP/1.0 with another coding', post('Transfer-Encoding: gzip\r\n', '1.0')],
  ])
  const read = { method: 'POST', body: 'abc' }
  const accepted: [name: string, input: string, wanted: Wanted][] = [
    ['a length', 'Content-Length: 3\r\n', { framing: 'length', headers: ['content-length: 3'] }],
    [
      'a length with zeros',
      'Content-Length: 00003\r\n',
      { framing: 'length', headers: ['content-length: 3'] },
    ],
    [
      'a length in blanks',
      'Content-Length: \t 3 \t\r\n',
      { framing: 'length', headers: ['content-length: 3'] },
    ],
    ['chunks', chunked, { framing: 'chunked', headers: ['transfer-encoding: chunked'] }],
    [
      'chunks in other letters',
      'tRANSFER-eNCODING:CHUNKED\r\n',
      { framing: 'chunked', headers: ['transfer-encoding: chunked'] },
    ],
    [
      'what only looks like it is a header like any other',
      `${chunked}Transfer_Encoding: identity\r\nX-Content-Length: 9\r\n`,
      { framing: 'chunked' },
    ],
  ]
  for (const [name, headers, wanted] of accepted)
    await t.test(`taken, and framed by us: ${name}`, (t) => {
      const sent = wanted.framing === 'length' ? 'abc' : body
      return reaches(t, world, request(headers, { method: 'POST', body: sent }), { ...read, ...wanted })
    })
})

t.test('E10, E11: chunks that are none', async (t) => {
  const world = await startPlain(t)
  const rows: [name: string, chunks: string][] = [
    ['E10: a size that ends in LF', '3\nabc\r\n0\r\n\r\n'],
    ['E10: a size that ends in CR', '3\rabc\r\n0\r\n\r\n'],
    ['E10: 0x3', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['E10: -3', '-3\r\nabc\r\n0\r\n\r\n'],
    ['E10: +3', '+3\r\nabc\r\n0\r\n\r\n'],
    ['E10: 3.0', '3.0\r\nabc\r\n0\r\n\r\n'],
    ['E10: a size beyond 64 bits', 'FFFFFFFFFFFFFFFF1\r\nabc\r\n0\r\n\r\n'],
    ['E10: a space behind the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['E10: a space before the semicolon', '3 ;\r\nabc\r\n0\r\n\r\n'],
    ['E10: a space before the size', ' 3\r\nabc\r\n0\r\n\r\n'],
    ['E10: no size', '\r\nabc\r\n0\r\n\r\n'],
    ['E10: an underscore', '0_3\r\nabc\r\n0\r\n\r\n'],
    ['E10: more bytes than announced', '3\r\nabcX\r\n0\r\n\r\n'],
    ['E10: fewer bytes than announced', '3\r\nab\r\n0\r\n\r\n'],
    ['E10: LF behind the bytes', '3\r\nabc\n0\r\n\r\n'],
    ['E10: nothing behind the bytes', '3\r\nabc0\r\n\r\n'],
    ['E10: LF behind the last size', '3\r\nabc\r\n0\n\r\n'],
    ['E10: LF at the very end', '3\r\nabc\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n'],
    ['E11: an extension of 20 KB', `3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`],
    ['E11: LF in an extension', '3;a\nb\r\nabc\r\n0\r\n\r\n'],
    ['E11: CR in an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
    ['E11: NUL in an extension', '3;a\0b\r\nabc\r\n0\r\n\r\n'],
    ['E12: a length among the trailers', '3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n'],
    ['E12: a coding among the trailers', '3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['E12: a trailer that is no header', '3\r\nabc\r\n0\r\nX : y\r\n\r\n'],
    ['E12: a folded trailer', '3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n'],
    ['E12: trailers without end', `3\r\nabc\r\n0\r\n${'X: y\r\n'.repeat(20_000)}\r\n`],
  ]
  const head = request('Transfer-Encoding: chunked\r\n', { method: 'POST', path: '/chunks' })
  for (const [name, chunks] of rows) {
    await t.test(name, async (t) => {
      const { origin } = world
      const before = origin.requests.length
      // One good chunk first, so that the target is in the middle of it: then nobody can be told any more.
      const cutBefore = origin.cut().length
      const socket = await openSocket(world)
      t.teardown(() => socket.destroy())
      socket.write(`${head}2\r\nok\r\n`)
      await until('the target reads it', () => origin.open() > 0)
      socket.on('error', () => {})
      socket.write(chunks, 'latin1')
      const answer = await readToEnd(socket).catch(() => Buffer.alloc(0))
      t.equal(answer.length, 0, 'closed, and no answer of the target')
      await until('the target is left', () => origin.open() === 0)
      t.equal(origin.requests.length, before, 'the target never had a whole request')
      t.same(origin.faults, [])
      for (const cut of origin.cut().slice(cutBefore))
        t.equal(readRequest(Buffer.from(cut, 'latin1')), null, 'what it had was the beginning of one')
      // The whole of it in one packet as well: whether it was begun or not, it is not whole.
      const glued = await openSocket(world)
      t.teardown(() => glued.destroy())
      glued.on('error', () => {})
      glued.write(`${head}${chunks}`, 'latin1')
      t.notMatch(await readToEnd(glued).then(String, () => ''), / 200 /)
      await until('nothing is left open', () => world.gateway.gateway.tunnels.count === 0)
      t.equal(origin.requests.length, before)
      t.match(await world.serveOne(), /^up-/, 'and the next is served')
    })
  }
})

t.test('E12, E13: bodies arrive as ours', async (t) => {
  const world = await startPlain(t)
  const chunked = 'Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n'
  const trailers = 'Host: other.example\r\nX-Job-Id: job-2\r\nX-Late: 1\r\nCookie: a\r\nConnection: X-A\r\n'
  await t.test('E12: trailers are dropped', (t) =>
    reaches(t, world, request(chunked, { method: 'POST', body: `3\r\nabc\r\n0\r\n${trailers}\r\n` }), {
      method: 'POST',
      framing: 'chunked',
      body: 'abc',
      headers: ['transfer-encoding: chunked'],
    }),
  )
  await t.test('E11: extensions are dropped', (t) => {
    const body = '1;a\r\na\r\n0000002;b="c;d";e\r\nbc\r\n0;f=g\r\n\r\n'
    return reaches(t, world, request(chunked, { method: 'PUT', body }), {
      method: 'PUT',
      framing: 'chunked',
      body: 'abc',
    })
  })
  const inner = 'GET http://127.0.0.1:8080/inner HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'PROPFIND']) {
    await t.test(`E13: a body of ${method} is no second request`, async (t) => {
      const length = `Content-Length: ${inner.length}\r\n`
      await reaches(t, world, request(length, { method, body: inner }), {
        method,
        framing: 'length',
        body: inner,
      })
      const size = inner.length.toString(16)
      await reaches(t, world, request(chunked, { method, body: `${size}\r\n${inner}\r\n0\r\n\r\n` }), {
        method,
        framing: 'chunked',
        body: inner,
      })
      await reaches(t, world, request('Content-Length: 0\r\n', { method }), { method, framing: 'length' })
    })
  }
  await t.test('E13: a POST without a body', (t) =>
    reaches(t, world, request('', { method: 'POST' }), { method: 'POST', framing: 'length' }),
  )
})

t.test('E21, E22: Expect', async (t) => {
  const heads: string[] = []
  const sockets: Socket[] = []
  const script: Script = ({ socket }) => {
    socket.write(established)
    socket.on('error', () => {}).on('end', () => socket.end())
    socket.on('data', (chunk) => {
      if (!sockets.includes(socket)) heads[sockets.push(socket) - 1] = ''
      heads[sockets.indexOf(socket)] += chunk.toString('latin1')
    })
    socket.resume()
  }
  const hostile = await startHostile(t, { script })
  async function post(headers: string, { version = '1.1', body = '' } = {}) {
    const before = sockets.length
    const socket = await openSocket(hostile)
    t.teardown(() => socket.destroy())
    socket.write(request(`${headers}Content-Length: 5\r\n`, { method: 'POST', version, body }))
    await until('the target has the head', () => sockets.length > before)
    return { socket, target: sockets.at(-1)!, heard: () => heads[before]! }
  }
  for (const name of ['Expect', 'expect', 'EXPECT']) {
    await t.test(`E21: ${name}: the 100 is the target's, and no other`, async (t) => {
      const { socket, target, heard } = await post(`${name}: 100-continue\r\n`)
      await roundTrip(hostile)
      t.equal(socket.bytesRead, 0, 'we say nothing of our own')
      t.match(heard(), /\r\nexpect: 100-continue\r\n/i)
      target.write('HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n')
      t.equal((await readBytes(socket, 25)).toString(), 'HTTP/1.1 100 Continue\r\n\r\n')
      socket.write('hello')
      await until('the target has the body', () => heard().endsWith('\r\n\r\nhello'))
      target.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      const answer = await readAnswer(socket, 'POST')
      t.match(answer, { status: 200, headers: { connection: 'keep-alive' } })
    })
  }
  await t.test('E21: a no before the body ends the connection: the body may come or not', async (t) => {
    const { socket, target, heard } = await post('Expect: 100-continue\r\n')
    target.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno')
    const answer = await readAnswer(socket, 'POST')
    t.match(answer, { status: 413, headers: { connection: 'close' } })
    const before = sockets.length
    socket.write(request('', { path: '/second' }))
    t.equal((await readToEnd(socket)).length, 0)
    t.notMatch(heard(), /second/)
    t.equal(sockets.length, before, 'what comes then is neither body nor request')
  })
  await t.test('E21: HTTP/1.0 is never answered with a 100', async (t) => {
    const { socket, target, heard } = await post('Expect: 100-continue\r\n', {
      version: '1.0',
      body: 'hello',
    })
    t.notMatch(heard(), /expect/i)
    target.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    t.match((await readToEnd(socket)).toString(), /^HTTP\/1\.1 200 OK\r\n/)
  })
  const unknown: Refusal = { status: 417, code: 'bad_request' }
  const world = await startPlain(t)
  const values = [
    'foo',
    '',
    '100-continue, foo',
    'foo, 100-continue',
    'y 100-continue',
    '100-continue;q=1',
    '200-ok',
    '100-continued',
  ]
  await refuseAll(
    t,
    world,
    values.map((value) => [
      `E22: Expect: ${value}`,
      request(`Expect: ${value}\r\nContent-Length: 3\r\n`, { method: 'POST', body: 'abc' }),
    ]),
    unknown,
  )
})

t.test('E23: pipelined requests', async (t) => {
  const order: string[] = []
  const world = await startPlain(t, ({ path }) => {
    order.push(path)
    return `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`
  })
  const { gateway, origin } = world
  const get = (path: string, headers = '') => request(headers, { path })

  await t.test('E23: are answered in order, and one is under way at a time', async (t) => {
    let most = 0
    gateway.facts.events.on('tunnel_opened', () => (most = Math.max(most, gateway.gateway.tunnels.count)))
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    const paths = Array.from({ length: 30 }, (_, index) => `/${index}`)
    socket.write(paths.map((path) => get(path)).join(''))
    for (const path of paths) t.equal((await readAnswer(socket, 'GET')).body.toString(), path)
    t.same(order.splice(0), paths)
    t.ok(most <= 1, 'one tunnel at a time')
  })

  await t.test('E23: with bodies, and none taken for the next request', async (t) => {
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    const chunked = request('Transfer-Encoding: chunked\r\n', {
      method: 'PUT',
      path: '/b',
      body: '1\r\nG\r\n0\r\n\r\n',
    })
    const length = request('Content-Length: 4\r\n', { method: 'POST', path: '/a', body: 'GET ' })
    socket.write(length + chunked + get('/c'))
    for (const path of ['/a', '/b', '/c']) t.equal((await readAnswer(socket, 'GET')).body.toString(), path)
    t.match(origin.requests.slice(-3), [{ path: '/a' }, { path: '/b' }, { path: '/c', framing: 'none' }])
    t.same(order.splice(0), ['/a', '/b', '/c'])
  })

  await t.test(
    'E23: more than wait elsewhere: answered in order, then refused, and no more heard',
    async (t) => {
      const socket = await openSocket(world)
      t.teardown(() => socket.destroy())
      socket.write(Array.from({ length: 100 }, (_, index) => get(`/${index}`)).join(''))
      for (let index = 0; index < 33; index++)
        t.equal((await readAnswer(socket, 'GET')).body.toString(), `/${index}`)
      const refused = await readAnswer(socket, 'GET')
      t.match(refused, { status: 429, headers: { 'proxy-status': /details="rate_limited"/ } })
      socket.destroy()
      t.equal(order.splice(0).length, 33)
    },
  )

  const last: [name: string, first: string, status: number][] = [
    ['a request that is refused', `GET http://u@bank.example/ HTTP/1.1\r\nHost: a\r\n${identity}\r\n`, 400],
    ['a target that is denied', `GET http://tinyproxy.stats/ HTTP/1.1\r\nHost: a\r\n${identity}\r\n`, 403],
    ['Connection: close', get('/last', 'Connection: close\r\n'), 200],
    ['HTTP/1.0', request('', { path: '/last', version: '1.0' }), 200],
  ]
  for (const [name, first, status] of last) {
    await t.test(`E23: behind ${name} nothing is done`, async (t) => {
      const before = origin.requests.length
      const socket = await openSocket(world)
      t.teardown(() => socket.destroy())
      socket.write(first + get('/behind') + get('/behind'))
      t.equal((await readAnswer(socket, 'GET')).status, status)
      t.equal((await readToEnd(socket)).length, 0)
      await world.serveOne()
      t.notOk(origin.requests.slice(before).some(({ path }) => path === '/behind'))
      order.length = 0
    })
  }

  await t.test('E23: an identity is never that of the request before', async (t) => {
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    socket.write(`${get('/mine')}GET ${url}/theirs HTTP/1.1\r\nHost: a\r\n\r\n`)
    t.equal((await readAnswer(socket, 'GET')).status, 200)
    t.equal((await readAnswer(socket, 'GET')).status, 407)
  })
})

t.test('E25: an upload that nobody reads is held back', async (t) => {
  const paused: Socket[] = []
  const hostile = await startHostile(t, {
    script: ({ socket, authority }) => {
      socket.write(established)
      if (authority === '127.0.0.1:8080') paused.push(socket.pause())
      else socket.on('end', () => socket.end()).resume()
    },
  })
  const { length } = paused
  const socket = await openSocket(hostile)
  t.teardown(() => socket.destroy())
  const before = process.memoryUsage()
  socket.write(request(`Content-Length: ${10 * 1024 ** 3}\r\n`, { method: 'POST' }))
  const chunk = Buffer.alloc(65_536, 'x')
  const sendOn = () => {
    while (!socket.destroyed && socket.write(chunk));
  }
  socket.on('drain', sendOn)
  sendOn()
  await until('the target has a connection', () => paused.length > length)
  // Two looks at the same count, half a second apart: everything on the way is full.
  let last = -1
  await until(
    'nothing moves any more',
    () => {
      const isStill = last === socket.bytesWritten - socket.writableLength && last > 0
      last = socket.bytesWritten - socket.writableLength
      return isStill
    },
    { everyMs: 500, withinMs: 20_000 },
  )
  const taken = last - paused[0]!.bytesRead
  t.comment(
    `${(last / 1e6).toFixed(1)} MB were taken, ${(paused[0]!.bytesRead / 1e6).toFixed(1)} MB of them by the target`,
  )
  t.ok(taken < 64e6, 'what the kernel keeps on the way, and no more')
  const after = process.memoryUsage()
  t.ok(
    after.arrayBuffers - before.arrayBuffers < 8e6,
    'this process, with all of them in it, keeps next to nothing',
  )
  const other = await connectThrough({ ...hostile, target: '127.0.0.1:443', userinfo: 'job-2:x' })
  other.socket.destroy()
  t.equal(other.status, 200, 'others are served')
  // While nobody reads, nobody hears that the client left either; the idle limit ends that.
  socket.destroy()
  paused[0]!.resetAndDestroy()
  await until('nothing is left', () => hostile.gateway.gateway.tunnels.count === 0)
})

t.test('an answer reaches who is still sending', async (t) => {
  const body = Buffer.alloc(20_000_000, 'x')
  const large = `Content-Length: ${body.length}\r\n`
  /** A reset would be read by the write: on other systems than Linux it would take the answer with it. */
  async function upload(t: Test, world: Hostile, head: string) {
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(head)
    const sent = new Promise<unknown>((resolve) => socket.write(body, (error) => resolve(error ?? null)))
    const answer = await readAnswer(socket, 'POST')
    t.equal(await sent, null, 'what it still sends is taken, until it is done')
    return answer
  }
  const world = await startPlain(t)
  await t.test('of ours: 407', async (t) => {
    const answer = await upload(t, world, `POST ${url}/ HTTP/1.1\r\nHost: a\r\n${large}\r\n`)
    t.match(answer, { status: 407, headers: { connection: 'close' } })
  })
  await t.test('of ours: a report that is too long', async (t) => {
    const answer = await upload(
      t,
      world,
      `POST /v1/job/report HTTP/1.1\r\nHost: a\r\n${identity}${large}\r\n`,
    )
    t.match(answer, { status: 400, headers: { connection: 'close' } })
  })
  await t.test("of the target's, that has heard enough", async (t) => {
    const hostile = await startHostile(t, {
      script: ({ socket }) => {
        socket.write(established)
        socket.on('error', () => {}).on('end', () => socket.end())
        socket.once('data', () => socket.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno'))
        socket.resume()
      },
    })
    const answer = await upload(t, hostile, request(large, { method: 'POST' }))
    t.match(answer, { status: 413, headers: { connection: 'close' } })
    t.equal(answer.body.toString(), 'no')
    await until('its tunnel is over', () => hostile.gateway.gateway.tunnels.count === 0)
  })
  await t.test("of the target's, that goes on reading", async (t) => {
    // Answers at once, and reads all the same: the answer ends only when the body has come.
    const hostile = await startHostile(t, {
      script: ({ socket, authority }) => {
        socket.write(established)
        socket.on('error', () => {}).on('end', () => socket.end())
        let bytes = 0
        socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'))
        socket.on('data', (chunk) => {
          bytes += chunk.length
          if (authority === '127.0.0.1:8080' && bytes > body.length) socket.write('ok')
        })
        socket.resume()
      },
    })
    const answer = await upload(t, hostile, request(large, { method: 'POST' }))
    t.equal(answer.body.toString(), 'ok')
  })
})

t.test('E26: how long an answer is, is written by us', async (t) => {
  const rows: [name: string, says: string, length: string | undefined][] = [
    ['E26: a length with zeros', 'HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok', '2'],
    ['E26: a 204 with a length', 'HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\nok', undefined],
    ['E26: a 304 with that of its 200', 'HTTP/1.1 304 OK\r\nContent-Length: 2\r\n\r\n', '2'],
  ]
  for (const [name, says, length] of rows) {
    await t.test(name, async (t) => {
      const world = await startPlain(t, () => says)
      const socket = await openSocket(world)
      t.teardown(() => socket.destroy())
      for (const path of ['/', '/next']) {
        socket.write(request('', { path }))
        const answer = await readAnswer(socket, 'GET')
        t.equal(`${answer.status}`, says.slice(9, 12))
        t.equal(answer.headers['content-length'], length)
      }
    })
  }
})

t.test('E26: targets that say too much', async (t) => {
  const lines = (count: number) => Array.from({ length: count }, (_, index) => `a${index}:\r\n`).join('')
  const head = 'HTTP/1.1 200 OK\r\n'
  const rows: [name: string, says: string, status: number, token?: string][] = [
    [
      'E26: a few interim answers',
      `${'HTTP/1.1 103 Early\r\nLink: x\r\n\r\n'.repeat(10)}${head}Content-Length: 0\r\n\r\n`,
      200,
    ],
    [
      'E26: interim answers without end',
      'HTTP/1.1 102 Wait\r\n\r\n'.repeat(1000),
      502,
      'http_protocol_error',
    ],
    ['E26: 500 header lines', `${head}${lines(499)}Content-Length: 0\r\n\r\n`, 200],
    ['E26: more', `${head}${lines(500)}Content-Length: 0\r\n\r\n`, 502, 'http_response_header_section_size'],
    [
      'E26: so many that node:http leaves some out',
      `${head}${lines(1500)}Content-Length: 0\r\n\r\n`,
      502,
      'http_response_header_section_size',
    ],
  ]
  for (const [name, says, status, token] of rows) {
    for (const upgrade of ['', 'Connection: Upgrade\r\nUpgrade: websocket\r\n']) {
      await t.test(`${name}${upgrade && ' (upgrade)'}`, async (t) => {
        const world = await startPlain(t, () => says)
        const socket = await openSocket(world)
        t.teardown(() => socket.destroy())
        socket.write(request(upgrade))
        const answer = await readAnswer(socket, 'GET')
        t.equal(answer.status, status)
        if (token) t.match(answer.headers['proxy-status'], `error=${token}; details="upstream_failed"`)
        await until('the target is left', () => world.origin.open() === 0)
      })
    }
  }
})
