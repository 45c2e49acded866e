"""Who may speak: certificates, tokens, and what each caller may do."""
