"""What happens around every call: context, errors, deadlines, life cycle."""
