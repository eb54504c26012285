// Reads the guide in a browser at a desktop's and a phone's width, and prints as JSON what it saw.
// Arguments: the browser's program, the server's address, a folder for pictures (or nothing).
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, address, pictures] = process.argv.slice(2);
const seen = { errors: [], strangers: [], wide: [], pages: 0, hits: [], places: [] };
const browser = await chromium.launch({
  executablePath: program,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
});

async function read(name, viewport) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (/^(https?|wss?):/.test(url) && !url.startsWith(`${address}/`)) seen.strangers.push(url);
  });
  const picture = async (what) => pictures && (await page.screenshot({ path: join(pictures, `${name}-${what}.png`) }));

  await page.goto(`${address}/guide`);
  await picture("index");
  const links = await page.locator("#content dt a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  for (const link of links) {
    await page.goto(`${address}${link}`);
    const isWide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    if (isWide) seen.wide.push(`${name} ${link}`);
    seen.pages += 1;
    await picture(link.split("/").at(-1));
  }
  await page.locator('input[type="search"]').fill("worst case");
  await page.keyboard.press("Enter");
  await page.locator(".hits a").first().waitFor();
  seen.hits.push(await page.locator(".hits a").first().innerText());
  await picture("search");
  await page.locator(".hits a").first().click();
  await page.waitForURL(/#/);
  const target = page.locator(":target");
  const header = await page.locator("header").boundingBox();
  seen.places.push((await target.boundingBox()).y >= header.height - 1);
  await picture("hit");
  await context.close();
}

try {
  await read("desktop", { width: 1280, height: 900 });
  await read("phone", { width: 375, height: 812 });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
