import t from 'tap'
import { readBasic } from '../../src/routing/basic-credentials.ts'

const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64')

t.test('credentials that are read', async (t) => {
  const rows: [name: string, value: string, user: string, password: string][] = [
    ['user and password', `Basic ${base64('42:secret')}`, '42', 'secret'],
    ['the scheme in lower case', `basic ${base64('42:secret')}`, '42', 'secret'],
    ['the scheme in upper case', `BASIC ${base64('42:secret')}`, '42', 'secret'],
    ['several spaces', `Basic   ${base64('42:secret')}`, '42', 'secret'],
    ['no password', `Basic ${base64('42:')}`, '42', ''],
    ['no user', `Basic ${base64(':secret')}`, '', 'secret'],
    ['a colon in the password', `Basic ${base64('42:a:b')}`, '42', 'a:b'],
    ['a user as axios sends it', `Basic ${base64('job%3D42%2ctype%3Dpay:x')}`, 'job=42,type=pay', 'x'],
    ['escapes are decoded once', `Basic ${base64('a%2542:x')}`, 'a%42', 'x'],
    ['a percent sign that is no escape stays', `Basic ${base64('a%4z%:x')}`, 'a%4z%', 'x'],
    ['an escaped colon belongs to the user', `Basic ${base64('a%3Ab:x')}`, 'a:b', 'x'],
    ['escapes in the password stay', `Basic ${base64('42:%41')}`, '42', '%41'],
    ['a password in UTF-8', `Basic ${base64('42:\u00fc')}`, '42', '\u00fc'],
    ['no padding needed', `Basic ${base64('42:abc')}`, '42', 'abc'],
    ['two signs of padding', `Basic ${base64('42:a')}`, '42', 'a'],
    ['just short enough', `Basic ${base64(`a:${'b'.repeat(3064)}`)}`, 'a', 'b'.repeat(3064)],
  ]
  for (const [name, value, user, password] of rows) {
    const basic = readBasic(value)
    t.same([basic.user, basic.password.toString()], [user, password], name)
  }
})

t.test('credentials that are refused', async (t) => {
  const good = base64('42:sesame')
  const rows: [name: string, value: string, code: 'bad_request' | 'proxy_auth_required'][] = [
    ['another scheme', 'Bearer sesame', 'proxy_auth_required'],
    ['another scheme alone', 'Negotiate', 'proxy_auth_required'],
    ['a scheme that only begins like Basic', `Basics ${good}`, 'proxy_auth_required'],
    ['a sign behind the scheme', `Basic! ${good}`, 'proxy_auth_required'],
    ['nothing', '', 'bad_request'],
    ['blanks', '   ', 'bad_request'],
    ['the scheme alone', 'Basic', 'bad_request'],
    ['the scheme and a space', 'Basic ', 'bad_request'],
    ['a tab behind the scheme', `Basic\t${good}`, 'bad_request'],
    ['a space in front', ` Basic ${good}`, 'bad_request'],
    ['a space behind', `Basic ${good} `, 'bad_request'],
    ['no base64', 'Basic 42:sesame', 'bad_request'],
    ['base64 for URLs', `Basic ${base64('4?:>?>').replace('/', '_').replace('+', '-')}`, 'bad_request'],
    ['padding left out', `Basic ${base64('42:a').replaceAll('=', '')}`, 'bad_request'],
    ['too much padding', `Basic ${base64('42:abc')}====`, 'bad_request'],
    ['bits that no encoder writes', 'Basic NDI6Yb==', 'bad_request'],
    ['two credentials', `Basic ${good}, Basic ${good}`, 'bad_request'],
    ['a parameter', `Basic ${good};x=y`, 'bad_request'],
    ['no colon', `Basic ${base64('sesame')}`, 'bad_request'],
    ['an escaped colon only', `Basic ${base64('sesame%3A')}`, 'bad_request'],
    ['NUL in the user', `Basic ${base64('4\x002:sesame')}`, 'bad_request'],
    ['a line end in the password', `Basic ${base64('42:sesame\r\nX: y')}`, 'bad_request'],
    ['DEL in the password', `Basic ${base64('42:sesame\x7f')}`, 'bad_request'],
    ['more than 4 KiB', `Basic ${base64(`a:${'b'.repeat(3070)}`)}`, 'bad_request'],
  ]
  const status = { bad_request: 400, proxy_auth_required: 407 }
  const token = { bad_request: 'http_request_error', proxy_auth_required: 'http_request_denied' }
  for (const [name, value, code] of rows) {
    t.throws(() => readBasic(value), { code, status: status[code], token: token[code] }, name)
  }
  t.test('and never repeated: a part of them is a token', async (t) => {
    for (const [name, value] of rows) {
      const error = t.throws(() => readBasic(value)) as Error
      t.notMatch(error.message, /sesame|NDI6|4\?/, name)
    }
  })
})
