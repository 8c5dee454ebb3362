// Does what somebody does at the page of the OpenAPI document: gets a token by its button Authorize, by each of the two
// grants, and lists users with it. Prints the statuses and the users as one JSON object. The environment has the URL of
// the server, and a folder for screenshots, if they are wanted.
import { chromium } from 'playwright-core'

const { REEVE_URL, REEVE_SCREENSHOTS } = process.env
const [pageClient, scriptsClient] = [
  ['01J44Q10GR4AMTFZEEF936DTCM', 'wie9oh2EekeeDeithei9Eipaeh2sohte'],
  ['01J44QC8BCY7FCFM7WGHQGKMTJ', 'eequie6Oth4Ip2InahT5zuQu8OuPohLi']
]

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
})
const problems = []

const open = async () => {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 } })
  context.on('weberror', error => problems.push(`${error.error()}`))
  context.on('console', message => { if (/Content Security Policy/.test(message.text())) problems.push(message.text()) })
  const page = await context.newPage()
  await page.goto(`${REEVE_URL}/api/doc/`)
  await page.locator('button.authorize').first().click()
  return page
}

const shoot = async (page, name) => {
  if (REEVE_SCREENSHOTS) await page.screenshot({ path: `${REEVE_SCREENSHOTS}/${name}.png` })
}

const authorize = async (page, flow, [id, secret]) => {
  await page.locator(`#client_id_${flow}`).fill(id)
  await page.locator(`#client_secret_${flow}`).fill(secret)
  const form = page.locator('.auth-container', { hasText: `(OAuth2, ${flow}` })
  await form.locator('.checkbox label').first().click()
  await shoot(page, `${flow}-1-asked`)
  await form.locator('button.authorize').click()
  return form
}

// list asks for the active administrators, as the page's reader does, and reads the answer off the page.
const list = async (page, form, flow) => {
  await form.locator('button', { hasText: 'Logout' }).waitFor()
  await shoot(page, `${flow}-8-authorized`)
  await form.locator('button', { hasText: 'Close' }).click()
  await page.locator('#operations-tag-user').click()
  const operation = page.locator('#operations-user-listUsers')
  await operation.locator('button.opblock-summary-control').click()
  await operation.locator('button', { hasText: 'Try it out' }).click()
  await operation.locator('button.execute').click()
  const answer = operation.locator('.live-responses-table .response')
  await answer.waitFor()
  const status = await answer.locator('.response-col_status').first().innerText()
  const text = await answer.locator('.response-col_description').first().innerText()
  await answer.scrollIntoViewIfNeeded()
  await shoot(page, `${flow}-9-listed`)
  return { status: status.trim().slice(0, 3), usernames: [...text.matchAll(/"username": "([^"]+)"/g)].map(match => match[1]) }
}

const done = {}

let page = await open()
const popup = page.waitForEvent('popup')
let form = await authorize(page, 'authorizationCode', pageClient)
const window = await popup
await window.getByLabel('Username').fill('kilgore-trout')
await window.getByLabel('Password').fill('wrong')
await shoot(window, 'authorizationCode-2-sign-in')
await window.getByRole('button', { name: 'Sign in' }).click()
done.wrong = await window.getByRole('alert').innerText()
await shoot(window, 'authorizationCode-3-wrong')
await window.getByLabel('Password').fill('so-it-goes-1969')
await window.getByRole('button', { name: 'Sign in' }).click()
await window.getByRole('button', { name: 'Allow' }).waitFor()
await shoot(window, 'authorizationCode-4-consent')
await window.emulateMedia({ colorScheme: 'dark' })
await shoot(window, 'authorizationCode-5-consent-dark')
await Promise.all([window.waitForEvent('close'), window.getByRole('button', { name: 'Allow' }).click()])
done.authorizationCode = await list(page, form, 'authorizationCode')

// The browser is signed in by now. A phone shows the page for devices.
const phone = await page.context().newPage()
await phone.setViewportSize({ width: 360, height: 640 })
await phone.goto(`${REEVE_URL}/device?user_code=BBBB-BBBB`)
await shoot(phone, 'device')
done.unknownDevice = await phone.getByRole('alert').innerText()
await phone.goto(`${REEVE_URL}/authorize?client_id=nobody&redirect_uri=https://example.com/`)
await shoot(phone, 'refused')

page = await open()
form = await authorize(page, 'clientCredentials', scriptsClient)
done.clientCredentials = await list(page, form, 'clientCredentials')

await browser.close()
console.log(JSON.stringify({ ...done, problems }))
