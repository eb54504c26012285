// Opens the documentation pages in a browser, as a developer does, and prints as JSON what it saw.
// Arguments: the browser's program, the server's address, a team's key, the team's id, a folder for pictures (or nothing).
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, address, key, team, pictures] = process.argv.slice(2);
const seen = { errors: [], strangers: [], answers: {} };
const browser = await chromium.launch({
  executablePath: program,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } });
const page = await context.newPage();
page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("request", (request) => {
  const url = request.url();
  if (/^(https?|wss?):/.test(url) && !url.startsWith(`${address}/`)) seen.strangers.push(url);
});
const picture = async (name) => pictures && (await page.screenshot({ path: join(pictures, `${name}.png`) }));

async function authorize() {
  await page.locator("button.authorize").first().click();
  const dialog = page.locator(".dialog-ux");
  seen.schemes = await dialog.locator("h4 code").allInnerTexts();
  await dialog.locator("input").first().fill(key);
  await picture("authorize");
  await dialog.locator("button.authorize").first().click();
  await dialog.locator("button.btn-done").first().click();
}

async function tryOut(id, parameters) {
  const operation = page.locator(`[id$="${id}"]`).first();
  await operation.locator(".opblock-summary-control").first().click();
  for (const [name, value] of Object.entries(parameters)) {
    await operation.locator(`tr[data-param-name="${name}"] input`).first().fill(value);
  }
  await operation.locator("button.execute").click();
  const answer = operation.locator(".live-responses-table tr.response td.response-col_status").first();
  await answer.waitFor();
  seen.answers[id] = (await answer.innerText()).trim();
  await operation.scrollIntoViewIfNeeded();
  await picture(id);
  return operation.locator(".live-responses-table .highlight-code pre").first().innerText();
}

try {
  await page.goto(`${address}/docs`);
  await page.locator(".opblock").first().waitFor();
  await picture("docs");
  await authorize();
  const created = JSON.parse(await tryOut("create_job", {}));
  await tryOut("get_job", { job_id: created.job_id });
  await tryOut("list_team_jobs", { team_id: team });

  await page.goto(`${address}/redoc`);
  await page.locator('[role="search"] input').waitFor();
  await page.locator("h1").first().waitFor();
  seen.title = await page.locator("h1").first().innerText();
  await picture("redoc");
  await page.locator('[role="search"] input').fill("credits");
  await page.locator('[data-role="search:results"] [role="menuitem"]').first().waitFor();
  await picture("redoc-search");
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
