#!/bin/sh
# Make the explorer's engine again: regl-scatterplot and what it needs, one script with one name, trainmapEngine.
# Needs node and npm, and the npm registry. Users and contributors need neither: what it writes is checked in.
#   sh tools/explorer_engine/make.sh          engine.js and engine-licences.txt
#   sh tools/explorer_engine/make.sh types    check the types of our modules
set -eu
cd "$(dirname "$0")"
page=../../src/trainmap/explorer/page
[ -d node_modules ] || npm ci --no-audit --no-fund
if [ "${1:-}" = types ]; then
  exec npx tsc --noEmit --allowJs --checkJs --strict --noImplicitAny false --target es2022 --module es2022 \
    --moduleResolution bundler --lib es2022,dom,dom.iterable $page/values.js $page/main.js
fi
echo 'export { default } from "regl-scatterplot";' > entry.js
npx esbuild entry.js --bundle --minify --format=iife --global-name=trainmapEngine --target=es2022 \
  --legal-comments=none --outfile=bundle.js
packages="regl-scatterplot regl regl-line pub-sub-es dom-2d-camera camera-2d-simple gl-matrix earcut @flekschas/utils"
{
  printf '/* regl-scatterplot 1.16.0 and what it needs, bundled by tools/explorer_engine; licences: engine-licences.txt */\n'
  cat bundle.js
} > $page/engine.js
for name in $packages; do
  node -p "const one = require('./node_modules/$name/package.json'); \`\${one.name} \${one.version} (\${one.license})\`"
  echo
  cat node_modules/"$name"/LICENSE*
  printf '\n----------------------------------------------------------------------\n\n'
done > $page/engine-licences.txt
rm entry.js bundle.js
