// A frame follows the colors of the system. This one follows the page around it, a notebook in a light or dark theme.
if (frameElement) {
  const ink = getComputedStyle(frameElement).color.match(/[\d.]+/g).slice(0, 3);
  const dark = ink.every(part => part > 128);
  for (const sheet of document.styleSheets)
    for (const rule of sheet.cssRules)
      if (rule.media && rule.media.mediaText.includes("prefers-color-scheme")) rule.media.mediaText = dark ? "all" : "not all";
}
