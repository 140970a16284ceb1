// Programs that people use, as they are: what they send is what the gateway must understand. These compile
// first, or are a browser.

import t from 'tap'
import { checkClients } from '../../fixtures/clients/check.ts'
import { slow } from '../../fixtures/clients/table.ts'

t.test('Go, Java, Chromium', (t) => checkClients(t, slow))
