/**
 * The end of `npm run build`: makes dist/main.js executable (the compiler does not), and lets
 * `npx gatelog` find the command. `npm ci` runs this too (`prepare`), before there is a build: then the
 * command says what to do.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { BUILD_STAMP, ROOT } from './prepare.mjs';

const bin = join(ROOT, 'node_modules', '.bin');
mkdirSync(bin, { recursive: true });
rmSync(join(bin, 'gatelog'), { force: true });
symlinkSync('../../deploy/gatelog', join(bin, 'gatelog'));

/** The status page's files beside its scripts, and the charts' library: a device builds nothing. */
function finishPage() {
  const scripts = join(ROOT, '.cache', 'page', 'page');
  const page = join(ROOT, 'dist', 'page');
  const sources = join(ROOT, 'src', 'page');
  const plot = join(ROOT, 'node_modules', 'uplot', 'dist');
  // As after a pull over an older build, which had no page: the next build makes it.
  if (!existsSync(scripts)) return;
  rmSync(page, { recursive: true, force: true });
  mkdirSync(page, { recursive: true });
  const copy = (from, name, as = name) => copyFileSync(join(from, name), join(page, as));
  for (const name of readdirSync(scripts)) copy(scripts, name);
  for (const name of readdirSync(sources)) if (!name.endsWith('.ts')) copy(sources, name);
  copy(plot, 'uPlot.iife.min.js', 'uPlot.js');
  copy(plot, 'uPlot.min.css', 'uPlot.css');
}

const main = join(ROOT, 'dist', 'main.js');
if (existsSync(main)) {
  chmodSync(main, 0o755);
  finishPage();
  writeFileSync(BUILD_STAMP, '');
}
