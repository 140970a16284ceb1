import t from 'tap'
import { egressIpIn } from '../../src/control/egress-ip.ts'

const cases: { name: string; body: string; ip: string | null }[] = [
  { name: 'the address alone', body: '203.0.113.7', ip: '203.0.113.7' },
  { name: 'the address alone, with a line end', body: ' 203.0.113.7\r\n', ip: '203.0.113.7' },
  { name: 'IPv6 in its one spelling', body: '2001:DB8:0:0:0::0001', ip: '2001:db8::1' },
  { name: 'IPv4 as a server on both families sees it', body: '::ffff:203.0.113.7', ip: '203.0.113.7' },
  { name: 'the same in hex', body: '::FFFF:cb00:7107', ip: '203.0.113.7' },
  { name: 'an address that only begins so', body: '::ffff:1:203.0.113.7', ip: '::ffff:1:cb00:7107' },
  { name: 'JSON with ip', body: '{"ip":"203.0.113.7"}', ip: '203.0.113.7' },
  { name: 'JSON with origin', body: ' { "origin": "203.0.113.7" }\n', ip: '203.0.113.7' },
  { name: 'JSON with address', body: '{"address":"2001:DB8::1","port":1}', ip: '2001:db8::1' },
  { name: 'JSON with query', body: '{"status":"success","query":"203.0.113.7"}', ip: '203.0.113.7' },
  {
    name: 'JSON whose first name holds none',
    body: '{"ip":"unknown","query":"203.0.113.7"}',
    ip: '203.0.113.7',
  },
  { name: 'two addresses: nobody knows which', body: '{"origin":"203.0.113.7, 203.0.113.8"}', ip: null },
  { name: 'JSON without', body: '{"hello":"203.0.113.7"}', ip: null },
  { name: 'JSON with a number', body: '{"ip":3405803783}', ip: null },
  { name: 'JSON that is no object', body: '["203.0.113.7"]', ip: null },
  { name: 'JSON that is cut off', body: '{"ip":"203.0.113.7"', ip: null },
  { name: 'a text around it', body: 'Your IP is 203.0.113.7', ip: null },
  { name: 'an address with a zone', body: 'fe80::1%eth0', ip: null },
  { name: 'another spelling of IPv4', body: '203.0.113.007', ip: null },
  { name: 'nothing', body: '', ip: null },
]

t.test('the egress IP is read from what a page says', async (t) => {
  for (const { name, body, ip } of cases) t.equal(egressIpIn(body), ip, name)
})
