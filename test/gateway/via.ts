import t from 'tap'
import { refuseLoop, viaEntry } from '../../src/gateway/via.ts'

t.test('our entry tells the version of the message as it came', (t) => {
  t.equal(viaEntry('1.1', 'gw-a'), '1.1 gw-a')
  t.equal(viaEntry('1.0', 'gw-a'), '1.0 gw-a')
  t.end()
})

type Row = [name: string, ...headers: string[]]

t.test('what has been here before is refused', (t) => {
  const rows: Row[] = [
    ['alone', 'Via', '1.1 gw-a'],
    ['in other letters', 'vIA', '1.1 GW-A'],
    ['with the name of the protocol', 'Via', 'HTTP/1.1 gw-a'],
    ['with a comment', 'Via', '1.1 gw-a (lanekeeper, 1.0)'],
    ['among others', 'Via', '1.0 fred, 1.1\tgw-a , 1.1 other'],
    ['without spaces', 'Via', '1.0 fred,1.1 gw-a,1.1 other'],
    ['on a second line', 'Via', '1.0 fred', 'via', '1.1 gw-a'],
    ['behind a comment that is never closed', 'Via', '1.0 fred (a comment', 'Via', '1.1 gw-a'],
    ['behind a quote that is never closed', 'Via', '1.0 fred "a, 1.1 gw-a'],
    ['behind empty entries', 'Via', ' ,,  ,1.1 gw-a'],
    ['in CDN-Loop', 'CDN-Loop', 'gw-a'],
    ['in CDN-Loop, by the name of the program', 'cdn-loop', 'foo, LaneKeeper'],
    ['in CDN-Loop, with parameters', 'CDN-Loop', 'other.example;x="a, b", lanekeeper; v=1'],
  ]
  for (const [name, ...rawHeaders] of rows) {
    const detail = { code: 'target_denied', status: 403, token: 'proxy_loop_detected' }
    t.throws(() => refuseLoop({ rawHeaders }, 'gw-a'), detail, name)
  }
  t.end()
})

t.test('what has been elsewhere goes on', (t) => {
  const rows: Row[] = [
    ['nowhere', 'Host', 'gw-a'],
    ['others', 'Via', '1.0 fred, 1.1 gw-b (gw-a)'],
    ['a longer name', 'Via', '1.1 gw-a.example, 1.1 my-gw-a, 1.1 gw-a:80'],
    ['no protocol', 'Via', 'gw-a'],
    ['a name that is a part of every object', 'Via', '1.1 constructor'],
    ['the program itself, as somebody else is called', 'Via', '1.1 lanekeeper'],
    ['other CDNs', 'CDN-Loop', 'lanekeeper.example; x=lanekeeper, a'],
    ['nothing', 'Via', '', 'CDN-Loop', ''],
  ]
  for (const [name, ...rawHeaders] of rows) t.doesNotThrow(() => refuseLoop({ rawHeaders }, 'gw-a'), name)
  t.end()
})

t.test('without a name we are in no Via, but may be in CDN-Loop', (t) => {
  t.doesNotThrow(() => refuseLoop({ rawHeaders: ['Via', '1.1 lanekeeper, 1.1 null'] }, null))
  t.throws(() => refuseLoop({ rawHeaders: ['CDN-Loop', 'lanekeeper'] }, null))
  t.end()
})

t.test('a header of 16 KiB is read in no time', (t) => {
  const startedMs = performance.now()
  for (const text of ['(', ',', '"', ', (', '1.1 '])
    refuseLoop(
      { rawHeaders: ['Via', text.repeat(16_384 / text.length), 'CDN-Loop', text.repeat(4096)] },
      'gw-a',
    )
  t.ok(performance.now() - startedMs < 500)
  t.end()
})
