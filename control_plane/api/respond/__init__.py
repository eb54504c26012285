"""The normalized respond API (document S4): one endpoint for apps in any language, whatever the provider."""
