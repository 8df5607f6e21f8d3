"""What objects are, pure: schema, kinds, defaults, rules, selectors, quantities, patch, tables, codec, errors."""
